"""Pure functions on numbers and series: what a result means, and what theory says it should be.

Three kinds of module live here:

* statistics of a result: `percentiles`, `fairness`, `convergence`, `pause`;
* oracles, formulas that predict a result before it is measured: `dcqcn`, `pfc`, `transport`, `queueing`,
  `sched`, `collectives`, `ecmp`, `maxmin`;
* comparison with reference runs of other simulators: `ns3time`, `traces`, `oracle_compare`.

Every formula names its source and its units. Wrong arguments raise ValueError; a measurement that holds no
data gives `Missing`, never a number.
"""

from __future__ import annotations
