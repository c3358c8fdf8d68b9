# Everything, to train and evaluate, on GPUs too: docker build -t frcrn-training -f docker/training.Dockerfile .
# docker run --rm --gpus all -v "$PWD:/work" frcrn-training train configs/frcrn_small.json
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/frcrn \
    && /opt/frcrn/bin/pip install --no-cache-dir --require-hashes -r docker/training.lock \
    && /opt/frcrn/bin/pip install --no-cache-dir --no-deps .

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends espeak-ng ffmpeg python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home frcrn
COPY --from=build /opt/frcrn /opt/frcrn
COPY configs /opt/frcrn/configs
ENV PATH=/opt/frcrn/bin:$PATH
USER 1000
WORKDIR /work
RUN frcrn info
ENTRYPOINT ["frcrn"]
CMD ["--help"]
