"""The stub libibverbs, under programs that know nothing of it: perftest, and a program in C of our own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench import generator
from bench.generator import Case, Cost, by_object, check_perftest, per_message
from bench.measure import BenchError
from harness.tests.load.generator import finish, flow, job_of, start

ROOT = Path(__file__).parents[3]
LIMIT_S = 60
HEADER = Path("/usr/include/infiniband/verbs.h")
needs_header = pytest.mark.skipif(
    not HEADER.exists() or shutil.which("cc") is None, reason="no compiler or no header of libibverbs"
)


@pytest.fixture(scope="module")
def stub(tmp_path_factory) -> Path:
    return generator.build(tmp_path_factory.mktemp("stub"))[0]


@contextlib.contextmanager
def pair(tool: str, *options: str, stub: Path, folder: Path, part: str = "0"):
    """Both ends of a perftest; yields a function that waits and gives what both printed."""
    if shutil.which(tool) is None:  # a developer's machine; continuous integration installs it
        pytest.skip(f"{tool} is not installed (apt-get install perftest)")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(stub),
        "STUB_VERBS_WIRE": str(folder / "wire"),
        "STUB_VERBS_PART": part,
    }
    port = generator._free_port()
    command = [tool, "-d", "stub0", "-F", "-p", str(port), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment}
    server = subprocess.Popen(command, **pipes)
    client = None
    try:
        generator._wait_listening(port, server)
        client = subprocess.Popen([*command, "127.0.0.1"], **pipes)
        yield lambda: [end.communicate(timeout=LIMIT_S)[0] for end in (client, server)]
        assert (client.returncode, server.returncode) == (0, 0)
    finally:
        for end in (client, server):
            if end is not None:
                end.kill()
                end.wait()


def iterations(text: str, size: int) -> int:
    row = re.search(rf"^ *{size} +(\d+) ", text, re.MULTILINE)
    assert row, text
    return int(row[1])


@needs_header
@pytest.mark.parametrize(("part", "api"), [("0", "OFF"), ("4123", "ON")])
@pytest.mark.parametrize(
    ("tool", "options", "qps"),
    [
        ("ib_write_bw", [], 1),
        ("ib_write_bw", ["-l", "32"], 1),
        ("ib_write_bw", ["-q", "16"], 16),
        ("ib_read_bw", [], 1),
        ("ib_send_bw", [], 1),
        ("ib_send_bw", ["-c", "UD"], 1),
        ("ib_send_bw", ["-r", "64", "--use-srq", "-q", "3"], 3),
        ("ib_send_bw", ["-e"], 1),
        ("ib_send_lat", [], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_perftest_reports_every_message(tmp_path, stub, tool, options, qps, part, api) -> None:
    asked = 6400
    with pair(tool, "-s", "64", "-n", str(asked), *options, stub=stub, folder=tmp_path, part=part) as finish:
        texts = finish()
    for text in texts:
        assert iterations(text, 64) == asked * qps
        assert re.search(r"ibv_wr\* API *: *(\w+)", text)[1] == api


PROGRAM = r"""
#include <infiniband/verbs.h>
#include <stdio.h>
#include <string.h>
#define CHECK(what) do { if (!(what)) { printf("line %d: %s\n", __LINE__, #what); return 1; } } while (0)

static struct ibv_qp *make(struct ibv_context *c, struct ibv_pd *pd, struct ibv_cq *cq, uint64_t ops)
{
  struct ibv_qp_init_attr_ex a = {.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC, .pd = pd,
    .cap = {.max_send_wr = 8, .max_recv_wr = 8, .max_send_sge = 1, .max_recv_sge = 1},
    .comp_mask = IBV_QP_INIT_ATTR_PD | (ops ? IBV_QP_INIT_ATTR_SEND_OPS_FLAGS : 0), .send_ops_flags = ops};
  return ibv_create_qp_ex(c, &a);
}

static int to(struct ibv_qp *qp, enum ibv_qp_state state, uint32_t peer)
{
  struct ibv_qp_attr a = {.qp_state = state, .dest_qp_num = peer};
  return ibv_modify_qp(qp, &a, IBV_QP_STATE | (state == IBV_QPS_RTR ? IBV_QP_DEST_QPN : 0));
}

static int receive(struct ibv_qp *qp, uint64_t id)
{
  struct ibv_recv_wr wr = {.wr_id = id}, *bad;
  return ibv_post_recv(qp, &wr, &bad);
}

int main(void)
{
  struct ibv_device **list = ibv_get_device_list(NULL);
  struct ibv_context *c = ibv_open_device(list[0]);
  CHECK(c != NULL && strcmp(ibv_get_device_name(c->device), "stub0") == 0);
  ibv_free_device_list(list);
  struct ibv_gid_entry gid;
  CHECK(ibv_query_gid_ex(c, 1, 0, &gid, 0) == 0 && gid.gid_type == IBV_GID_TYPE_ROCE_V2 && gid.gid.raw[12] == 127);
  CHECK(ibv_query_gid_ex(c, 1, 1, &gid, 0) != 0);
  struct ibv_port_attr port;
  CHECK(ibv_query_port(c, 1, &port) == 0 && port.state == IBV_PORT_ACTIVE && port.active_mtu == IBV_MTU_4096);

  struct ibv_pd *pd = ibv_alloc_pd(c);
  struct ibv_comp_channel *channel = ibv_create_comp_channel(c);
  struct ibv_cq *cq = ibv_create_cq(c, 16, &pd, channel, 0);
  struct ibv_qp *qp = make(c, pd, cq, IBV_QP_EX_WITH_SEND_WITH_IMM | IBV_QP_EX_WITH_RDMA_WRITE);
  struct ibv_qp *peer = make(c, pd, cq, 0);
  CHECK(qp != NULL && peer != NULL && ibv_qp_to_qp_ex(peer) == NULL);
  CHECK(to(qp, IBV_QPS_RTS, 0) != 0); /* RESET has no way to RTS */
  for (int state = IBV_QPS_INIT; state <= IBV_QPS_RTS; state++)
    CHECK(to(qp, state, peer->qp_num) == 0 && to(peer, state, qp->qp_num) == 0);
  CHECK(receive(peer, 70) == 0 && receive(peer, 71) == 0);

  /* One batch: a write without completion, a send with an immediate and one, a write with one. */
  struct ibv_qp_ex *ex = ibv_qp_to_qp_ex(qp);
  struct ibv_wc wc[8];
  ibv_wr_start(ex);
  ex->wr_id = 1, ex->wr_flags = 0;
  ibv_wr_rdma_write(ex, 1, 0), ibv_wr_set_sge(ex, 1, 0, 500);
  ex->wr_id = 2, ex->wr_flags = IBV_SEND_SIGNALED;
  ibv_wr_send_imm(ex, 99), ibv_wr_set_sge(ex, 1, 0, 40);
  ex->wr_id = 3;
  ibv_wr_rdma_write(ex, 1, 0), ibv_wr_set_sge(ex, 1, 0, 600);
  CHECK(ibv_wr_complete(ex) == 0);
  CHECK(ibv_poll_cq(cq, 8, wc) == 3);
  CHECK(wc[0].wr_id == 2 && wc[0].opcode == IBV_WC_SEND && wc[0].qp_num == qp->qp_num && wc[0].status == 0);
  CHECK(wc[1].wr_id == 3 && wc[1].opcode == IBV_WC_RDMA_WRITE);
  CHECK(wc[2].wr_id == 70 && wc[2].opcode == IBV_WC_RECV && wc[2].byte_len == 40 && wc[2].imm_data == 99);
  CHECK((wc[2].wc_flags & IBV_WC_WITH_IMM) != 0 && wc[2].qp_num == peer->qp_num && wc[2].src_qp == qp->qp_num);
  CHECK(ibv_poll_cq(cq, 8, wc) == 0);

  /* What is taken back never was. */
  ibv_wr_start(ex);
  ibv_wr_send_imm(ex, 98), ibv_wr_set_sge(ex, 1, 0, 40);
  ibv_wr_abort(ex);
  CHECK(ibv_poll_cq(cq, 8, wc) == 0);

  /* An event comes after arming, with what was posted before or after. */
  CHECK(ibv_req_notify_cq(cq, 0) == 0);
  struct ibv_send_wr send = {.wr_id = 4, .opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED}, *bad;
  CHECK(ibv_post_send(peer, &send, &bad) == 0);
  struct ibv_cq *of;
  void *context;
  CHECK(ibv_get_cq_event(channel, &of, &context) == 0 && of == cq && context == &pd);
  ibv_ack_cq_events(cq, 1);
  CHECK(ibv_poll_cq(cq, 8, wc) == 1 && wc[0].wr_id == 4);

  /* A queue pair in error flushes its receives and what is posted, asked for or not; a reset one is new. */
  CHECK(to(peer, IBV_QPS_ERR, 0) == 0);
  send.send_flags = 0;
  CHECK(ibv_post_send(peer, &send, &bad) == 0 && ibv_poll_cq(cq, 8, wc) == 2);
  CHECK(wc[0].wr_id == 71 && wc[0].status == IBV_WC_WR_FLUSH_ERR && wc[1].status == IBV_WC_WR_FLUSH_ERR);
  for (int state = IBV_QPS_RESET; state <= IBV_QPS_RTS; state++)
    CHECK(to(peer, state, qp->qp_num) == 0);
  CHECK(ibv_post_send(peer, &send, &bad) == 0 && ibv_poll_cq(cq, 8, wc) == 0);

  for (int i = 0; i < 8; i++)
    CHECK(receive(peer, 0) == 0);
  CHECK(receive(peer, 0) != 0); /* as many as it was made for */

  CHECK(ibv_destroy_comp_channel(channel) != 0); /* in use */
  CHECK(ibv_destroy_qp(qp) == 0 && ibv_destroy_qp(peer) == 0 && ibv_destroy_cq(cq) == 0);
  CHECK(ibv_destroy_comp_channel(channel) == 0 && ibv_dealloc_pd(pd) == 0 && ibv_close_device(c) == 0);
  puts("good");
  return 0;
}
"""

OVERRUN = (
    PROGRAM.split("int main", maxsplit=1)[0]
    + r"""
int main(void)
{
  struct ibv_device **list = ibv_get_device_list(NULL);
  struct ibv_context *c = ibv_open_device(list[0]);
  struct ibv_cq *cq = ibv_create_cq(c, 4, NULL, NULL, 0);
  struct ibv_qp *qp = make(c, ibv_alloc_pd(c), cq, 0);
  struct ibv_send_wr send = {.opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED}, *bad;
  struct ibv_wc wc[8];
  for (int i = 0; i < COUNT; i++)
    CHECK(ibv_post_send(qp, &send, &bad) == 0);
  CHECK(ibv_poll_cq(cq, 8, wc) == COUNT);
  (void)to, (void)receive;
  puts("good");
  return 0;
}
"""
)


def run_program(text: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Compile it together with the stub, sanitizers watching, and run it."""
    source = folder / "program.c"
    source.write_text(text, encoding="utf-8")
    command = ["cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-g", "-fsanitize=address,undefined"]
    command += ["-fno-sanitize-recover=all", *flags, "-o", str(folder / "program"), str(source)]
    sources = sorted(str(path) for path in generator.SOURCES.glob("*.c"))
    subprocess.run([*command, *sources], check=True, timeout=LIMIT_S)
    return subprocess.run([folder / "program"], capture_output=True, text=True, timeout=LIMIT_S, check=False)


@needs_header
def test_each_call_does_what_a_program_expects(tmp_path) -> None:
    run = run_program(PROGRAM, tmp_path)
    assert (run.stdout, run.stderr, run.returncode) == ("good\n", "", 0)


@needs_header
def test_a_program_that_overruns_its_completion_queue_is_ended(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    assert run_program(OVERRUN, tmp_path, "-DCOUNT=4").stdout == "good\n"
    run = run_program(OVERRUN, tmp_path, "-DCOUNT=5")
    assert run.returncode < 0
    assert "a completion queue of 4 entries was overrun" in run.stderr


# --- roce-load ------------------------------------------------------------------------------------------

RELAXED_ORDERING, REMOTE_WRITE = 1 << 20, 1 << 1
"""enum ibv_access_flags of infiniband/verbs.h."""


@needs_header
@pytest.mark.parametrize(
    ("keys", "relaxed"),
    [
        ({}, True),
        ({"load": {"relaxed_ordering": False}}, False),
        ({"verbs": {"check_payload": False, "ping_pong": True}}, False),  # its ends look at memory
    ],
)
def test_writes_of_the_device_may_overtake_each_other_where_nobody_looks(
    tmp_path, stub, monkeypatch, keys, relaxed
) -> None:
    wire = tmp_path / "wire"
    monkeypatch.setenv("LD_PRELOAD", str(stub))
    monkeypatch.setenv("STUB_VERBS_WIRE", str(wire))

    device = ("--device", "stub0", "--watchdog", "1")  # no payload moves, so a ping-pong comes to nothing
    finish(start(job_of(flow(**{"verbs": {"check_payload": False}, **keys})), *device))

    access = int.from_bytes(wire.read_bytes()[4:8], sys.byteorder)
    assert access & REMOTE_WRITE
    assert bool(access & RELAXED_ORDERING) == relaxed


# --- python -m bench generator ---------------------------------------------------------------------------


CALLGRIND = """\
events: Ir

ob=(1) /usr/bin/tool
fl=(1) ???
fn=(1) main
0 7
+4 3
cob=(2) /tmp/x/libstubverbs.so
cfn=(2) post
calls=2 0
* 90
-1 5

ob=(2)
fn=(2)
0 90

totals: 105
"""


def test_costs_are_counted_where_they_are_from_and_once() -> None:
    assert by_object(CALLGRIND.splitlines()) == Counter({"/usr/bin/tool": 15, "/tmp/x/libstubverbs.so": 90})


def test_what_both_runs_have_in_common_costs_a_message_nothing() -> None:
    short = {"/usr/bin/tool": 1000, "/tmp/libstubverbs.so": 10}
    long = {"/usr/bin/tool": 3000, "/tmp/libstubverbs.so": 510}
    assert per_message(short, long, 100) == Cost(25.0, 5.0)
    assert per_message(short, long, 100).own == 20.0


@pytest.mark.parametrize(
    ("iterations_said", "api", "complaint"),
    [(100, "ON", None), (99, "ON", "was to send 100"), (100, "OFF", "did not post as batch 1, ibv_wr_")],
)
def test_a_run_of_something_else_is_refused(iterations_said, api, complaint) -> None:
    text = f" ibv_wr* API     : {api}\n #bytes     #iterations\n 64         {iterations_said}        0.00\n"
    with pytest.raises(BenchError, match=complaint) if complaint else contextlib.nullcontext():
        check_perftest(text, Case(1, "wr"), 100)


@needs_header
@pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("valgrind", "ib_write_bw")), reason="no valgrind or no perftest"
)
def test_counts_of_perftest_repeat(tmp_path, monkeypatch) -> None:
    tools = generator.Tools(*generator.build(tmp_path), None)
    monkeypatch.setattr(generator, "SHORT", 25_600)
    monkeypatch.setattr(generator, "LONG", 51_200)
    first, second = (generator._cost(generator.perftest, Case(32, "wr"), tools) for _ in range(2))
    assert first.own == pytest.approx(second.own, rel=0.02)
    assert first.stub == pytest.approx(second.stub, rel=0.001)
    assert 5 < first.stub < 20 < first.instructions < 60
