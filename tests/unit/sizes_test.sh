#!/bin/sh
exec tools/lint/sizes.sh
