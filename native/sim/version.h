/* The simulator's version as printed in results; the build defines ROCE_VERSION from the project's. */
#ifndef ROCE_SIM_VERSION
#ifdef ROCE_VERSION
#define ROCE_SIM_VERSION ROCE_VERSION
#else
#define ROCE_SIM_VERSION "0.0.0"
#endif
#endif
