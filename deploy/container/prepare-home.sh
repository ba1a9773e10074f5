#!/bin/sh
# Fills a home folder from what the pod or compose file mounts: keys and credentials from SECRETS, and one folder of
# proving keys for all nodes in PROVING_KEYS. Volumes often belong to root; the folders made inside them are ours, so that
# they can have mode 700.
set -eu
secrets=${SECRETS:-/secrets}
proving_keys=${PROVING_KEYS:-/proving-keys}

install -d -m 700 "$W3BSTREAM_HOME" "$W3BSTREAM_HOME/keys" "$proving_keys/groth16"
ln -sfn "$proving_keys/groth16" "$W3BSTREAM_HOME/keys/groth16"
for name in coordinator.json tokens.json; do
    if [ -f "$secrets/keys/$name" ]; then
        install -m 600 "$secrets/keys/$name" "$W3BSTREAM_HOME/keys/$name"
    fi
done
if [ -d "$secrets/nats-credentials" ]; then
    install -d -m 700 "$W3BSTREAM_HOME/credentials"
    find -L "$secrets/nats-credentials" -maxdepth 1 -type f -exec install -m 600 -t "$W3BSTREAM_HOME/credentials" {} +
fi
