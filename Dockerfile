# The platform's code with exact versions of everything: servers, one-shots and workers are this one image.
FROM python:3.11.14-slim-bookworm

ARG TORCH_INDEX=""
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/xray
COPY pyproject.toml constraints.txt README.md ./
COPY db db
COPY xray xray
COPY flows flows
COPY alembic alembic
COPY alembic.ini ./
COPY studies studies
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --constraint constraints.txt --editable '.[onnx,s3]'

RUN useradd --create-home --uid 10001 xray && install --directory --owner=xray --mode=0700 /var/lib/xray
USER xray
VOLUME /var/lib/xray
CMD ["xray", "--help"]
