#!/bin/bash
# Ask the broker which requests it speaks (ApiVersions, version 0) and want an answer: some 5 ms, where a tool of Kafka's
# starts a Java machine (1.5 s of CPU). An open port alone proves nothing: a frozen broker's is open too.
set -eu
exec 3<>/dev/tcp/127.0.0.1/9092
printf '\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff' >&3
# length (4 bytes), our correlation id (1), error code (0)
answer=$(timeout 5 head -c 10 <&3 | od -An -v -tx1 | tr -d ' \n')
[ "${answer:8}" = 000000010000 ]
