#!/bin/bash
# Joins the Ray cluster with a raylet that runs nothing, for a process talks to a cluster through a raylet on its own
# machine, and runs the coordinator beside it. When the cluster is lost the raylet ends, and the coordinator, which would
# wait for it for ever, with it: the container is started anew.
set -eu
prepare-home
# Of several networks, the address on the one that Ray's head is on.
address=$(python3 -c '
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
print(socket.create_connection((host, int(port)), 60).getsockname()[0])
' "$W3BSTREAM_RAY_ADDRESS")
ray start --block --address="$W3BSTREAM_RAY_ADDRESS" --node-ip-address="$address" --num-cpus=0 --num-gpus=0 \
    --object-store-memory=209715200 --disable-usage-stats &
raylet=$!
w3bstream up &
service=$!
trap 'kill -TERM "$service"' TERM INT
watchdog=
wait -n "$raylet" "$service" || true
if ! kill -0 "$raylet" 2> /dev/null; then
    kill -TERM "$service" 2> /dev/null || true
    (sleep 30; kill -KILL "$service") > /dev/null 2>&1 &
    watchdog=$!
fi
status=0
wait "$service" || status=$?
kill -TERM "$raylet" $watchdog 2> /dev/null || true
exit "$status"
