#!/bin/sh
exec tools/lint/includes.sh
