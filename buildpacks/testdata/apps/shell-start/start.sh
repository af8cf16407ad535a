#!/bin/sh
# Serves a page with what the stack has.
echo "starting on $PORT"
exec perl server.pl "$PORT"
