#!/bin/sh
echo "stamped by Node $(node -p process.versions.node | cut -d. -f1)" >public/stamp.txt
