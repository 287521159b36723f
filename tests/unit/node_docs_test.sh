#!/bin/sh
# docs/nodes is what the tables of the node types say.
exec tools/node_docs "$1" --check
