# frcrn-runtime without torch: docker build -t frcrn -f docker/runtime.Dockerfile .
# docker run --rm -v "$PWD:/audio" frcrn enhance noisy.wav -o clean.wav
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/frcrn \
    && /opt/frcrn/bin/pip install --no-cache-dir --require-hashes -r docker/runtime.lock \
    && /opt/frcrn/bin/pip install --no-cache-dir --no-deps ./runtime \
    && /opt/frcrn/bin/pip uninstall -y pip setuptools \
    && find /opt/frcrn -depth -type d \( -name tests -o -name __pycache__ \) -exec rm -rf {} +

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home frcrn
COPY --from=build /opt/frcrn /opt/frcrn
ENV PATH=/opt/frcrn/bin:$PATH
USER 1000
WORKDIR /audio
RUN python3 -c "import frcrn, numpy; frcrn.load().enhance(numpy.zeros(16000, 'f4'))"
ENTRYPOINT ["frcrn"]
CMD ["--help"]
