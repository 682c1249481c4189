"""A recipe with more than twenty mistakes, and what is said of each."""

# After # the path inside the file, and words that the problem must hold.
TEXT = """\
name: a b                           # name | "a b" | may contain only letters
modle: {path: /m}                   # modle | did you mean model
model: {path: 3}                    # model.path | 3 | put it in quotes
resources:
  gpus_per_node: eight              # resources.gpus_per_node | "eight" | a whole number
  prefill_nodes: 1
  prefill_workers: -1               # resources.prefill_workers | -1 | must be 0 to
  decode_nodes: 2.5                 # resources.decode_nodes | 2.5 | a whole number
  decode_worker: 1                  # resources.decode_worker | did you mean decode_workers
  spread_workers: "yes"             # resources.spread_workers | "yes" | true or false
frontend:
  type: dynamo                      # frontend.type | dynamo | set frontend.type: sglang
  launcher: smg                     # frontend.launcher | "smg" | 'smg launch'
  num_additional_frontends: 99999   # frontend.num_additional_frontends | 99999 | 0 to
  args:
    prometheus-port: 99999          # frontend.args.prometheus-port | 1 to 65535
    worker-urls: [x]                # frontend.args.worker-urls | leave it out
backend:
  type: sglnag                      # backend.type | "sglnag" | did you mean sglang
  het_jobs: true                    # backend.het_jobs | it belongs under resources
  prefill_environment:
    DEBUG: true                     # backend.prefill_environment.DEBUG | true | in quotes
  sglang_config:
    prefill:
      disaggregation-mode: decode   # backend.sglang_config.prefill. | decode | must be prefill
      tp-size: 4
      tp_size: 4                    # backend.sglang_config.prefill.tp_size | given twice
    decode:
      node-rank: 1                  # backend.sglang_config.decode.node-rank | leave it out
health_check:
  max_attempts: 0                   # health_check.max_attempts | 0 | more than 0
environment: {1: x}                 # environment | 1 | put it in quotes
"""


def test_every_one_of_twenty_mistakes_is_told_with_line_path_value_and_hint(desk):
    wanted = {
        number: line.partition(" # ")[2].split(" | ")
        for number, line in enumerate(TEXT.splitlines(), start=1)
        if " # " in line
    }
    problems = desk.problems(TEXT)
    assert len(wanted) >= 20
    assert [problem.line for problem in problems] == list(wanted)
    for problem in problems:
        path, *words = wanted[problem.line]
        assert problem.path.startswith(path)
        for word in words:
            assert word in problem.message, problem
