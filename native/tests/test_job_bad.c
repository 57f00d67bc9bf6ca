/* Bad jobs: each is the good one with one text replaced, and has one message with its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_text.h"
#include "test.h"

#define EV "\"events\": []"
#define NIC "\"nic\": {}"
#define SW "\"switch\": {}"
#define F1 "65536}"
#define EVENT(text) "\"events\": [" text "]"

/* clang-format off */
static const struct bad_job {
  const char *from, *to;    /* the change */
  const char *path;         /* exact */
  uint32_t line, column;    /* 0: not checked */
  const char *message;      /* part of it */
} bad_jobs[] = {
    /* top level */
    {"\"format\": 1", "\"format\": 2", "format", 1, 12, "this program reads format 1, is 2"},
    {"\"format\": 1", "\"format\": \"1\"", "format", 1, 12, "this program reads format 1, is \"1\""},
    {"\"format\": 1, ", "", "", 1, 1, "the job needs the key 'format'"},
    {"\"seed\": 7", "\"sed\": 7", "sed", 2, 2, "unknown key 'sed' in the job (did you mean 'seed'?)"},
    {"\"seed\": 7", "\"q\": 7", "q", 2, 2, "known keys: format, name, seed, until,"},
    {"\"seed\": 7", "\"seed\": -1", "seed", 2, 10, "must be an integer from 0 to 9223372036854775807, is -1"},
    {"\"seed\": 7", "\"seed\": 9223372036854775808", "seed", 2, 10, "is 9223372036854775808"},
    {"\"seed\": 7", "\"seed\": 1.0", "seed", 2, 10, "must be an integer from 0 to 9223372036854775807, is 1.0"},
    {"\"seed\": 7", "\"seed\": null", "seed", 2, 10, "must be an integer from 0 to 9223372036854775807, is null"},
    {"\"seed\": 7", "\"seed\": true", "seed", 2, 10, "is true"},
    {"\"seed\": 7", "\"seed\": 7, \"seed\": 8", "", 2, 13, "not valid JSON: key 'seed' appears twice"},
    {"\"seed\": 7", "\"seed\": NaN", "", 2, 10, "not valid JSON: expected a value (JSON has no NaN"},
    {"\"name\": \"base\"", "\"name\": 5", "name", 1, 23, "must be a string, is 5"},
    {"\"name\": \"base\"", "\"name\": \"a\\u0007b\"", "name", 1, 23, "must not hold control characters"},
    {"\"seed\": 7", "\"until\": \"dun\"", "until", 2, 11, "must be \"done\" or \"duration\", is \"dun\""},
    {"1000000000000,", "0,", "duration_ps", 2, 28, "must be an integer from 1 to 1000000000000000000, is 0"},
    {"\"seed\": 7", "\"trace\": [\"cc\"]", "trace", 2, 11, "writes files and needs output_dir"},
    {"\"seed\": 7", "\"sample_every_ps\": 5", "sample_every_ps", 2, 21, "writes files and needs output_dir"},
    {"\"seed\": 7", "\"sample_every_ps\": 5, \"output_dir\": \"x\"", "sample_every_ps", 2, 21, "5 is too short"},
    {"\"seed\": 7", "\"output_dir\": \"\"", "output_dir", 2, 16, "is empty"},
    {"\"seed\": 7", "\"output_dir\": \"x\", \"trace\": [\"cc\", \"ecn\"]", "trace[1]", 2, 37,
     "must be \"cc\", \"pfc\", \"drop\" or \"mark\", is \"ecn\""},
    {"\"seed\": 7", "\"output_dir\": \"x\", \"trace\": \"cc\"", "trace", 2, 30, "must be a list, is \"cc\""},
    {"\"seed\": 7", "\"time\": {\"model\": \"ns2\"}", "time.model", 2, 20, "must be \"exact\" or \"ns3\", is \"ns2\""},
    {"\"seed\": 7", "\"time\": {\"resolution_ps\": 1000}", "time.resolution_ps", 2, 28, "model \"exact\" has a resolution of 1 ps"},
    {"\"seed\": 7", "\"wire\": {\"model\": \"fixed\", \"vlan\": true}", "wire.vlan", 2, 29,
     "unknown key 'vlan' in wire with model fixed"},
    {"\"seed\": 7", "\"wire\": {\"ack_bytes\": 60}", "wire.ack_bytes", 2, 11, "unknown key 'ack_bytes' in wire with model rocev2"},
    {"\"seed\": 7", "\"wire\": {\"ip_version\": 5}", "wire.ip_version", 2, 25, "must be 4 or 6, is 5"},
    {"\"seed\": 7", "\"wire\": 3", "wire", 2, 10, "must be an object, is 3"},

    {"\"seed\": 7", "\"defects\": null", "defects", 2, 13, "must be a list, is null"},
    {"\"seed\": 7", "\"defects\": [\"nak_storm\", \"nak_strom\"]", "defects[1]", 2, 27,
     "\"nak_strom\" is no defect (did you mean 'nak_storm'?); roce-sim --list-defects prints them"},

    /* nic */
    {NIC, "\"nic\": {\"mtu\": 1024}", "nic.mtu", 16, 10, "unknown key 'mtu' in nic"},
    {NIC, "\"nic\": {\"mtu_bytes\": 1500}", "nic.mtu_bytes", 16, 23, "must be 256, 512, 1024, 2048 or 4096 with the rocev2"},
    {NIC, "\"nic\": {\"mtu_bytes\": 63}", "nic.mtu_bytes", 16, 23, "must be an integer from 64 to 9000, is 63"},
    {NIC, "\"nic\": {\"retry_count\": 8}", "nic.retry_count", 16, 25, "must be an integer from 0 to 7, is 8"},
    {NIC, "\"nic\": {\"rnr_timer\": 32}", "nic.rnr_timer", 16, 23, "must be an integer from 0 to 31, is 32"},
    {NIC, "\"nic\": {\"loss_recovery\": \"gbn\"}", "nic.loss_recovery", 16, 27,
     "must be \"go_back_n\", \"selective_repeat\" or \"go_back_0\", is \"gbn\""},
    {NIC, "\"nic\": {\"ack\": {\"every\": 0}}", "nic.ack.every", 16, 27, "must be an integer from 1"},
    {NIC, "\"nic\": {\"ack\": {\"priority\": 8}}", "nic.ack.priority", 16, 30, "must be an integer from 0 to 7, is 8"},
    {NIC, "\"nic\": {\"ack\": {\"strict\": 1}}", "nic.ack.strict", 16, 28, "must be true or false, is 1"},
    {NIC, "\"nic\": {\"ack\": null}", "nic.ack", 16, 17, "must be an object, is null"},
    {NIC, "\"nic\": {\"cnp\": {\"scope\": \"flow\"}}", "nic.cnp.scope", 16, 27, "must be \"qp\", \"ip_pair\" or \"port\""},
    {NIC, "\"nic\": {\"cc\": {\"algorithm\": \"dctcp\"}}", "nic.cc.algorithm", 16, 30, "\"dcqcn\", \"mlx5\", \"none\", \"ns3\", is \"dctcp\""},
    {NIC, "\"nic\": {\"cc\": {\"algorithm\": 3}}", "nic.cc.algorithm", 16, 30, "is 3"},
    {NIC, "\"nic\": {\"cc\": {\"preset\": \"paper\"}}", "nic.cc.preset", 16, 17, "unknown key 'preset' in cc with algorithm none"},
    {NIC, "\"nic\": {\"cc\": {\"g\": 0.5}}", "nic.cc.g", 16, 17, "in cc with algorithm none (it is a parameter of algorithm dcqcn)"},
    {NIC, "\"nic\": {\"cc\": {\"algorithm\": \"mlx5\", \"pace\": true}}", "nic.cc.pace", 16, 38,
     "in cc with algorithm mlx5 (it is a parameter of algorithm ns3)"},
    {NIC, "\"nic\": {\"cc\": {\"algorithm\": \"dcqcn\", \"g\": 0}}", "nic.cc.g", 16, 44, "must be greater than 0 and at most 1, is 0"},
    {NIC, "\"nic\": {\"cc\": {\"algorithm\": \"dcqcn\", \"g\": \"1/256\"}}", "nic.cc.g", 16, 44, "must be a number, is \"1/256\""},
    {NIC, "\"nic\": {\"cc\": {\"algorithm\": \"dcqcn\", \"rate_timer_ps\": 0}}", "nic.cc.rate_timer_ps", 16, 56,
     "must be an integer from 1000 to"},
    {NIC, "\"nic\": {\"pfc\": {\"priorities\": [3, 8]}}", "nic.pfc.priorities[1]", 16, 36, "must be an integer from 0 to 7, is 8"},
    {NIC, "\"nic\": {\"pfc\": {\"priorities\": [3, 3]}}", "nic.pfc.priorities[1]", 16, 36, "priority 3 is listed twice"},
    {NIC, "\"nic\": {\"pfc\": {\"priorities\": 3}}", "nic.pfc.priorities", 16, 32, "must be a list, is 3"},
    {NIC, "\"nic\": {\"pfc\": {\"priorities\": [0,1,2,3,4,5,6,7,0]}}", "nic.pfc.priorities", 16, 32,
     "has 9 priorities, at most 8 are allowed"},
    {NIC, "\"nic\": {\"pfc\": {\"watchdog\": null}}", "nic.pfc.watchdog", 16, 18, "unknown key 'watchdog' in pfc of a nic"},
    {NIC, "\"nic\": {\"pfc\": {\"quanta\": 65536}}", "nic.pfc.quanta", 16, 28, "must be an integer from 1 to 65535, is 65536"},
    {NIC, "\"nic\": {\"scheduler\": {\"weights\": [1, 1]}}", "nic.scheduler.weights", 16, 35, "must have 8 weights, one for each priority, has 2"},
    {NIC, "\"nic\": {\"scheduler\": {\"weights\": [1,1,1,0,1,1,1,1]}}", "nic.scheduler", 16, 23,
     "priority 3 has weight 0 and is not strict"},
    {NIC, "\"nic\": {\"rx\": {\"xon_bytes\": 5}}", "nic.rx", 16, 16, "xon_bytes 5 is above xoff_bytes 0"},
    {NIC, "\"nic\": {\"rx\": {\"drain_bps\": 5}}", "nic.rx", 16, 16, "drain_bps needs buffer_bytes"},
    {NIC, "\"nic\": {\"rx\": {\"buffer_bytes\": 5, \"xoff_bytes\": 6}}", "nic.rx", 16, 16, "xoff_bytes 6 is above buffer_bytes 5"},

    /* switch */
    {SW, "\"switch\": {\"buffer\": {\"bytes\": 0}}", "switch.buffer.bytes", 17, 33, "must be an integer from 1 to 4294967295, is 0"},
    {SW, "\"switch\": {\"buffer\": {\"alpha\": -0.5}}", "switch.buffer.alpha", 17, 33, "must be from 0 to 1e+06, is -0.5"},
    {SW, "\"switch\": {\"buffer\": {\"nic_rate_bps\": 5}}", "switch.buffer", 17, 23, "nic_rate_bps belongs to the buffer model \"hpcc\""},
    {SW, "\"switch\": {\"ecn\": {\"pmax\": 0.1}}", "switch.ecn.pmax", 17, 21, "unknown key 'pmax' in ecn; known keys: priorities, mark_at,"},
    {SW, "\"switch\": {\"ecn\": {\"profiles\": []}}", "switch.ecn.profiles", 17, 33, "needs at least one profile"},
    {SW, "\"switch\": {\"ecn\": {\"profiles\": [{\"kmin_bytes\": 2000000}]}}", "switch.ecn.profiles[0].kmin_bytes", 17, 49,
     "kmin_bytes 2000000 is above kmax_bytes 1600000"},
    {SW, "\"switch\": {\"ecn\": {\"profiles\": [{\"pmax\": 1.5}]}}", "switch.ecn.profiles[0].pmax", 17, 43, "must be from 0 to 1, is 1.5"},
    {SW, "\"switch\": {\"ecn\": {\"profiles\": [{}, {}]}}", "switch.ecn.profiles[1].rate_bps", 17, 38,
     "rate 0 already has profiles[0]"},
    {SW, "\"switch\": {\"ecn\": {\"profiles\": [{\"rate_bps\": 25000000000}]}}", "nodes[3]", 7, 3,
     "port sw1:e1 runs at 100000000000 bit/s, for which ecn has no profile"},
    {SW, "\"switch\": {\"pfc\": {\"watchdog\": {\"action\": \"kill\"}}}", "switch.pfc.watchdog.action", 17, 44,
     "must be \"drop\" or \"forward\", is \"kill\""},
    {SW, "\"switch\": {\"pfc\": {\"mode\": \"xonxoff\"}}", "switch.pfc.mode", 17, 29, "must be \"quanta\" or \"until_resume\""},
    {SW, "\"switch\": {\"ecmp\": {\"mode\": \"hash\"}}", "switch.ecmp.mode", 17, 30, "must be \"5tuple\", \"dqpn\", \"spray\" or \"hpcc\""},
    {SW, "\"switch\": {\"dscp_map\": [1, 2]}", "switch.dscp_map", 17, 25, "must have 64 priorities, one for each DSCP, has 2"},
    {SW, "\"switch\": {\"dscp_map\": 3}", "switch.dscp_map", 17, 25, "must be a list, is 3"},
    {SW, "\"switch\": {\"ecmp\": {\"sede\": 3}}", "switch.ecmp.sede", 17, 22, "did you mean 'seed'?"},

    /* nodes */
    {"{\"name\": \"h2\", \"kind\": \"host\", ", "{\"name\": \"h1\", \"kind\": \"host\", ", "nodes[1].name", 5, 12,
     "\"h1\" is the name of nodes[0] already"},
    {"{\"name\": \"h2\", \"kind\": \"host\", ", "{\"name\": \"h:2\", \"kind\": \"host\", ", "nodes[1].name", 5, 12, "must not hold ':'"},
    {"{\"name\": \"h2\", \"kind\": \"host\", ", "{\"name\": \"h,2\", \"kind\": \"host\", ", "nodes[1].name", 5, 12, "comma"},
    {"{\"name\": \"h2\", \"kind\": \"host\", ", "{\"name\": \"\", \"kind\": \"host\", ", "nodes[1].name", 5, 12, "name of 1 to 200 bytes"},
    {"{\"name\": \"h2\", \"kind\": \"host\", ", "{\"kind\": \"host\", ", "nodes[1]", 5, 3, "a node needs the key 'name'"},
    {"{\"name\": \"h2\", \"kind\": \"host\", ", "{\"name\": \"h2\", \"kind\": \"router\", ", "nodes[1].kind", 5, 26,
     "must be \"host\" or \"switch\", is \"router\""},
    {"[\"p0\", \"p1\"]", "[\"p0\", \"p0\"]", "nodes[0].ports[1]", 4, 50, "\"p0\" is listed twice in the ports of node h1"},
    {"[\"p0\", \"p1\"]", "[]", "nodes[0].ports", 4, 43, "a node needs at least one port"},
    {"[\"p0\", \"p1\"]", "2", "nodes[0].ports", 4, 43, "must be a list, is 2"},
    {"[\"p0\", \"p1\"]", "[\"p0\", 1]", "nodes[0].ports[1]", 4, 50, "must be a string, is 1"},
    {"[\"p0\", \"p1\"]", "[\"p0\"], \"switch\": {}", "nodes[0].switch", 4, 61, "h1 is a host and has no 'switch'"},
    {"[\"e1\", \"e2\", \"e3\", \"e4\"]", "[\"e1\", \"e2\"], \"nic\": {}", "nodes[3].nic", 7, 67, "sw1 is a switch and has no 'nic'"},
    {"[\"p0\", \"p1\"]", "[\"p0\"], \"nic\": {\"cc\": {\"algorithm\": \"x\"}}", "nodes[0].nic.cc.algorithm", 4, 79, "is \"x\""},

    /* links */
    {"\"sw1:e1\"", "\"sw1:e9\"", "links[0].b", 10, 23, "\"sw1:e9\" names a port that node sw1 does not have; its ports are: e1, e2, e3, e4"},
    {"\"sw1:e1\"", "\"sw3:e1\"", "links[0].b", 10, 23, "\"sw3:e1\" names a node that does not exist (did you mean 'sw1'?)"},
    {"\"sw1:e1\"", "\"sw1\"", "links[0].b", 10, 23, "must be a port written as \"node:port\", is \"sw1\""},
    {"\"sw1:e1\"", "\"sw1:e2\"", "links[1].a", 11, 9, "port sw1:e2 is used by links[0] already"},
    {"\"sw1:e1\"", "\"h1:p1\"", "links[0].b", 10, 23, "connects node h1 to itself"},
    {"\"sw1:e1\"", "\"h1:p0\"", "links[0].b", 10, 23, "connects node h1 to itself"},
    {"\"sw1:e1\", \"rate_bps\": 100000000000", "\"sw1:e1\", \"rate_bps\": 0", "links[0].rate_bps", 10, 45,
     "must be an integer from 1 to 1000000000000000, is 0"},
    {"\"sw1:e1\", \"rate_bps\": 100000000000", "\"sw1:e1\", \"rate_bps\": \"100G\"", "links[0].rate_bps", 10, 45, "is \"100G\""},
    {"\"sw1:e1\", \"rate_bps\": 100000000000", "\"sw1:e1\"", "links[0]", 10, 3, "a link needs the key 'rate_bps'"},
    {"\"sw1:e1\",", "\"sw1:e1\", \"ber\": 18446744073709551615,", "links[0].ber", 10, 40, "is 18446744073709551615"},
    {"\"sw1:e1\",", "\"sw1:e1\", \"ber\": 1,", "links[0].ber", 10, 40, "must be at least 0 and less than 1, is 1"},
    {"\"sw1:e1\",", "\"sw1:e1\", \"bandwidth\": 1,", "links[0].bandwidth", 10, 33, "unknown key 'bandwidth' in a link"},

    /* flows */
    {F1, "65536, \"mesages\": 3}", "flows[0].mesages", 14, 74, "unknown key 'mesages' in a flow (did you mean 'messages'?)"},
    {F1, "0}", "flows[0].message_bytes", 14, 67, "must be an integer from 1 to 2147483648, is 0"},
    {F1, "2147483649}", "flows[0].message_bytes", 14, 67, "must be an integer from 1 to 2147483648, is 2147483649"},
    {F1, "65536, \"qps\": 0}", "flows[0].qps", 0, 0, "must be an integer from 1 to 2000000, is 0"},
    {F1, "65536, \"qps\": 1000000000}", "flows[0].qps", 0, 0, "must be an integer from 1 to 2000000, is 1000000000"},
    {F1, "65536, \"qps\": 2000000}", "flows[1].qps", 15, 3, "more than 2000000 queue pairs in all"},
    {F1, "65536, \"messages\": 4611686018427387904}", "flows[0].messages", 0, 0, "more than 2^62 bytes"},
    {F1, "65536, \"priority\": 8}", "flows[0].priority", 0, 0, "must be an integer from 0 to 7, is 8"},
    {F1, "65536, \"verb\": \"put\"}", "flows[0].verb", 0, 0, "must be \"write\", \"read\", \"send\" or \"atomic\", is \"put\""},
    {F1, "65536, \"transport\": \"uc\", \"verb\": \"read\"}", "flows[0].verb", 0, 0,
     "transport \"uc\" carries \"write\" and \"send\", not \"read\""},
    {F1, "8, \"transport\": \"uc\", \"verb\": \"atomic\"}", "flows[0].verb", 0, 0, "not \"atomic\""},
    {F1, "8, \"transport\": \"ud\"}", "flows[0].verb", 14, 3, "transport \"ud\" carries \"send\" only, not \"write\""},
    {F1, "1025, \"transport\": \"ud\", \"verb\": \"send\"}", "flows[0].message_bytes", 14, 67,
     "a \"ud\" message is at most one MTU of 1024 bytes, is 1025"},
    {F1, "9, \"verb\": \"atomic\"}", "flows[0].message_bytes", 14, 67, "an \"atomic\" works on 8 bytes, is 9"},
    {F1, "65536, \"arrivals\": \"poisson\"}", "flows[0].arrivals", 0, 0, "needs message_interval_ps"},
    {F1, "65536, \"recv_depth\": 4}", "flows[0].recv_depth", 0, 0, "only \"send\" uses receive work requests, verb is \"write\""},
    {F1, "65536, \"verb\": \"send\", \"recv_repost_ps\": 4}", "flows[0].recv_repost_ps", 0, 0, "needs a recv_depth"},
    {F1, "65536, \"dscp\": 64}", "flows[0].dscp", 0, 0, "must be an integer from 0 to 63, is 64"},
    {F1, "65536, \"udp_sport\": 65535, \"qps\": 2}", "flows[0].udp_sport", 0, 0, "ports 65535 and up for 2 queue pairs pass 65535"},
    {F1, "65536, \"flow_label\": 1048576}", "flows[0].flow_label", 0, 0, "must be an integer from 0 to 1048575, is 1048576"},
    {F1, "65536, \"start_ps\": 1e6}", "flows[0].start_ps", 0, 0, "must be an integer from 0 to 1000000000000000000, is 1e6"},
    {F1, "65536, \"after\": \"f2\"}", "flows[0].after", 0, 0, "must be a list, is \"f2\""},
    {F1, "65536, \"after\": [\"f2\"]}", "flows[0].after", 14, 83, "flows wait for each other in a circle: f1 -> f2 -> f1"},
    {F1, "65536, \"after\": [\"f1\"]}", "flows[0].after", 14, 83, "in a circle: f1 -> f1"},
    {F1, "65536, \"after\": [\"f9\"]}", "flows[0].after[0]", 14, 84, "\"f9\" names a flow that does not exist (did you mean 'f1'?)"},
    {F1, "65536, \"after_delay_ps\": 5}", "flows[0].after_delay_ps", 0, 0, "has no flow in 'after' to count from"},
    {F1, "65536, \"messages\": 0}", "flows[1].after[0]", 0, 0, "\"f1\" names a flow that never completes (messages 0)"},
    {"[\"f1\"]}", "[\"f1\", \"f1\"]}", "flows[1].after[1]", 15, 88, "\"f1\" names a flow twice"},
    {"[\"f1\"]}", "[\"f1\"]}, {\"name\": \"f3\", \"src\": \"h2:p0\", \"dst\": \"h1:p0\", \"message_bytes\": 1, \"after\": [\"f4\"]},"
     "{\"name\": \"f4\", \"src\": \"h2:p0\", \"dst\": \"h1:p0\", \"message_bytes\": 1, \"after\": [\"f3\"]}", "flows[2].after", 0, 0,
     "flows wait for each other in a circle: f3 -> f4 -> f3"},
    {"\"sw1:e2\", \"b\": \"h2:p0\"", "\"sw1:e2\", \"b\": \"sw2:e2\"", "flows[0].dst", 14, 41, "port h2:p0 has no link"},
    {"\"f2\", \"src\"", "\"f1\", \"src\"", "flows[1].name", 15, 12, "\"f1\" is the name of flows[0] already"},
    {"\"dst\": \"h2:p0\"", "\"dst\": \"h1:p0\"", "flows[0].dst", 14, 41, "flow goes from h1:p0 to itself"},
    {"\"dst\": \"h2:p0\"", "\"dst\": \"h3:p0\"", "flows[0].dst", 14, 41, "there is no path from h1:p0 to h3:p0"},
    {"\"dst\": \"h2:p0\"", "\"dst\": \"h1:p1\"", "flows[0].dst", 14, 41, "port h1:p1 has no link"},
    {"\"dst\": \"h2:p0\"", "\"dst\": \"sw1:e1\"", "flows[0].dst", 14, 41, "sw1:e1 is a port of a switch; flows run between ports of hosts"},
    {"\"dst\": \"h2:p0\"", "\"dst\": \"h2:p9\"", "flows[0].dst", 14, 41, "names a port that node h2 does not have; its ports are: p0"},
    {"\"dst\": \"h2:p0\"", "\"dst\": 2", "flows[0].dst", 14, 41, "must be a string, is 2"},
    {"\"dst\": \"h2:p0\", ", "", "flows[0]", 14, 3, "a flow needs the key 'dst'"},

    /* events */
    {EV, EVENT("{\"at_ps\": 5}"), "events[0]", 18, 13, "an event needs the key 'kind'"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"link_flap\"}"), "events[0].kind", 18, 34, "must be \"link_down\", \"link_up\","},
    {EV, EVENT("{\"kind\": \"link_down\", \"port\": \"h1:p0\"}"), "events[0]", 18, 13, "a link_down event needs the key 'at_ps'"},
    {EV, EVENT("{\"at_ps\": 1000000000001, \"kind\": \"link_down\", \"port\": \"h1:p0\"}"), "events[0].at_ps", 18, 23,
     "1000000000001 is after the end of the run, duration_ps 1000000000000"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"link_down\", \"port\": \"h1:p1\"}"), "events[0].port", 18, 55, "port h1:p1 has no link"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"link_down\", \"port\": \"h1:p0\", \"rate_bps\": 1}"), "events[0].rate_bps", 18, 64,
     "unknown key 'rate_bps' in a link_down event"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"link_rate\", \"port\": \"h1:p0\", \"rate_bps\": 0}"), "events[0].rate_bps", 0, 0,
     "must be an integer from 1 to"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"pause_storm\", \"port\": \"sw1:e1\", \"priorities\": [3], \"duration_ps\": 1}"),
     "events[0].port", 0, 0, "sw1:e1 is a port of a switch; pause_storm needs a port of a host"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"pause_storm\", \"port\": \"h1:p0\", \"priorities\": [], \"duration_ps\": 1}"),
     "events[0].priorities", 0, 0, "must name at least one priority"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"pause_storm\", \"port\": \"h1:p0\", \"duration_ps\": 1}"), "events[0]", 0, 0,
     "a pause_storm event needs the key 'priorities'"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"drain_rate\", \"port\": \"sw1:e1\", \"rate_bps\": 1}"), "events[0].port", 0, 0,
     "drain_rate needs a port of a host"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"drain_rate\", \"port\": \"h1:p0\", \"rate_bps\": 1}"), "events[0].rate_bps", 0, 0,
     "needs a receive buffer"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\"}"), "events[0]", 18, 13,
     "needs either 'packets' or 'fraction'"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"packets\": [1], \"fraction\": 0.5}"),
     "events[0]", 18, 13, "needs either 'packets' or 'fraction', not both"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"fraction\": 1.5}"), "events[0].fraction", 0, 0,
     "must be greater than 0 and at most 1, is 1.5"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"packets\": []}"), "events[0].packets", 0, 0,
     "must list at least one packet"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"packets\": [64]}"), "events[0].packets[0]", 0, 0,
     "64 is past the last data packet: each queue pair of the flow sends 64, numbered from 0"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"packets\": [6, 2, 6]}"), "events[0].packets",
     0, 0, "lists packet 6 twice"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f7\", \"action\": \"drop\", \"packets\": [6]}"), "events[0].flow", 18, 52,
     "\"f7\" names a flow that does not exist"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"packets\": [6], \"qp\": 1}"), "events[0].qp", 0, 0,
     "flow has 1 queue pairs, numbered from 0"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"delay\", \"packets\": [6]}"), "events[0].delay_ps", 0, 0,
     "action \"delay\" needs a delay_ps above 0"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"packets\": [6], \"delay_ps\": 3}"),
     "events[0].delay_ps", 0, 0, "goes with action \"delay\" only"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"drop\", \"fraction\": 0.1, \"iteration\": 2}"),
     "events[0].iteration", 0, 0, "goes with 'packets', not with 'fraction'"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"qos\", \"node\": \"sw9\", \"switch\": {}}"), "events[0].node", 18, 49,
     "\"sw9\" names a node that does not exist (did you mean 'sw1'?)"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"qos\", \"node\": \"sw1\"}"), "events[0]", 18, 13, "sw1 is a switch: a qos event for it needs the key 'switch'"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"qos\", \"node\": \"sw1\", \"nic\": {}, \"switch\": {}}"), "events[0]", 18, 13,
     "needs the key 'switch' and not 'nic'"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"qos\", \"node\": \"h1\", \"nic\": {\"mtu_bytes\": 4096}}"), "events[0].nic.mtu_bytes", 0, 0,
     "cannot change during a run (it is 1024)"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"qos\", \"node\": \"h1\", \"nic\": {\"cc\": {\"g\": 1}}}"), "events[0].nic.cc.g", 0, 0,
     "unknown key 'g' in cc with algorithm none"},
    {EV, EVENT("{\"at_ps\": 5, \"kind\": \"qos\", \"node\": \"sw2\", \"switch\": {\"ecn\": {\"profiles\": [{\"rate_bps\": 1}]}}}"),
     "events[0].switch", 0, 0, "port sw2:e1 runs at 25000000000 bit/s, for which ecn has no profile"},
    {EV, "\"events\": {}", "events", 18, 12, "must be a list, is {...}"},

    /* the text itself */
    {"\"events\": []}", "\"events\": []", "", 19, 1, "not valid JSON: text ends early"},
    {"\"events\": []}", "\"events\": [],}", "", 18, 15, "not valid JSON: trailing comma"},
    {"\"events\": []}", "\"events\": []} {}", "", 18, 16, "not valid JSON: more text after the end"},
};
/* clang-format on */

/* Whether the job is refused with its message at its place; prints what differs. */
static bool refused_as_expected(const struct bad_job *bad)
{
  struct job_error error = {.line = 0};
  char *text = job_text_replace(job_text_base, bad->from, bad->to);
  struct job *job = job_parse(text, strlen(text), &error);
  free(text);
  bool place = bad->line == 0 || (error.line == bad->line && error.column == bad->column);
  if (job == NULL && place && strstr(error.message, bad->message) != NULL && strcmp(error.path, bad->path) == 0) {
    return true;
  }
  fprintf(stderr, "%s\n  got      %u:%u %s: %s\n  expected %u:%u %s: %s\n", bad->to, (unsigned)error.line,
          (unsigned)error.column, error.path, job != NULL ? "(accepted)" : error.message, (unsigned)bad->line,
          (unsigned)bad->column, bad->path, bad->message);
  job_free(job);
  return false;
}

TEST(bad_jobs_have_one_clear_message)
{
  int wrong = 0;
  for (size_t i = 0; i < sizeof bad_jobs / sizeof bad_jobs[0]; i++) {
    wrong += refused_as_expected(&bad_jobs[i]) ? 0 : 1;
  }
  ASSERT_EQ(wrong, 0);
}
