"""Exit 0 when the code server on port 4000 says it serves; `dagster api grpc-health-check` costs 20 times as much."""

import sys

import grpc

# The two messages of grpc.health.v1 as bytes: HealthCheckRequest{service: "DagsterApi"}, HealthCheckResponse{SERVING}.
REQUEST, SERVING = b"\n\nDagsterApi", b"\x08\x01"

with grpc.insecure_channel("127.0.0.1:4000") as channel:
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    try:
        answer = check(REQUEST, timeout=5)
    except grpc.RpcError as error:
        sys.exit(f"code location: {error.code().name}")
if answer != SERVING:
    sys.exit(f"code location: not serving ({answer!r})")
