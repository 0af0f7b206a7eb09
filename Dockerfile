# The whole program in an image, for machines without its system libraries:
#
#   docker build -t crossbody .
#   docker run --rm -v "$PWD/runs:/data/runs" crossbody evaluate_policy \
#       --policy /opt/crossbody/export/pretrained/generalist.onnx --embodiments tiago --scenes office --episodes 16 --out runs/first
#
# Images and results that are written to runs/ belong to root; add --user "$(id -u):$(id -g)" to own them. For NVIDIA GPUs
# build with --build-arg TORCH=torch==2.13.0 (a CUDA build, several GB) and run with --gpus all.
FROM debian:bookworm-slim

ARG TORCH=""
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ make python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Set-up alone first: the layer is kept while only the program changes.
WORKDIR /opt/crossbody
COPY Makefile requirements.txt requirements-dev.txt ./
COPY .ci ./.ci
RUN TORCH="$TORCH" PIP_NO_CACHE_DIR=1 make setup && rm -rf /var/lib/apt/lists/*
COPY . .

# The working folder is the user's; -P keeps it out of the search for the packages.
ENV PYTHONPATH=/opt/crossbody HOME=/tmp
WORKDIR /data
ENTRYPOINT ["/opt/crossbody/.venv/bin/python", "-P", "-m", "crossbody"]
CMD ["--help"]
