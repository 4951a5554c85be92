#!/bin/sh
# Makes tests/fixtures/sample.nut: 12 grey pictures of 8×4, frame n at n² tenths of a second, its pixels 16·n.
# Made with ffmpeg 5.1. Usage: nut.sh OUT
exec ffmpeg -nostdin -v error -y -f lavfi -i "nullsrc=size=8x4:rate=10:duration=1.2" \
  -vf "format=gray,geq=lum=16*N,setpts=N*N" -fps_mode passthrough -enc_time_base -1 \
  -c:v rawvideo -pix_fmt gray -fflags +bitexact -f nut "$1"
