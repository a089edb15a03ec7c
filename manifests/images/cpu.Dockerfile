# The image that every step of a pipeline runs in. Build it from the repository's root: see README.md beside this file.
# checkov:skip=CKV_DOCKER_2:Kubernetes looks at the health of containers, and a step is healthy while it runs
# checkov:skip=CKV_DOCKER_7:the bases are arguments, pinned by digest below; another one without a digest is refused

# Digests as docker-library/repo-info (the record of Docker's official images) has them.
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:fe556eaffd0d96abd8685b83bb8a69addd0dc730fa193669a7df0d49ddcfac02
ARG GO_IMAGE=golang:1.26.5-bookworm@sha256:551752d3ad9de9923190bf5280500617ed8fee287ffb4b0220e770ef89346258

# Beam starts a worker in a container by this program. Its sources come from the Go module proxy, checked by Go's checksum database.
FROM ${GO_IMAGE} AS beam
RUN CGO_ENABLED=0 GOBIN=/opt/apache/beam go install -trimpath -ldflags='-s -w' github.com/apache/beam/sdks/v2/python/container@v2.77.0 \
  && mv /opt/apache/beam/container /opt/apache/beam/boot

FROM ${PYTHON_IMAGE} AS environments
# One dependency is built from source.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY manifests/images/build.txt manifests/images/make_environment.sh ./
RUN python3.11 -m venv tools && tools/bin/pip install --no-cache-dir --require-hashes -r build.txt
ENV PATH=/build/tools/bin:$PATH \
    UV_SYSTEM_CERTS=1
COPY requirements/tff.txt ./
RUN ./make_environment.sh /opt/tfx-federated/tff tff.txt
COPY requirements/tfx.txt ./
RUN ./make_environment.sh /opt/tfx-federated/tfx tfx.txt

# The project itself, below the paths that it has in the image: a small layer, the only one that changes with the code.
FROM environments AS project
COPY pyproject.toml README.md LICENSE source/
COPY requirements/tff.txt source/requirements/
COPY components source/components/
RUN uv build --quiet --wheel --build-constraint build.txt --require-hashes --out-dir dist source \
  && for side in tfx tff; do \
       uv pip install --quiet --no-deps --python /opt/tfx-federated/$side/bin/python --prefix /layer/opt/tfx-federated/$side dist/*.whl \
       || exit 1; \
     done
COPY pipelines /layer/opt/tfx-federated/pipelines/
RUN python3.11 -m compileall -q --invalidation-mode unchecked-hash /layer

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
# The launcher of Kubeflow Pipelines runs as this user too, and keeps artifacts in these folders.
RUN case "$PYTHON_IMAGE" in *@sha256:*) ;; *) echo "PYTHON_IMAGE=$PYTHON_IMAGE: name it by digest, NAME:TAG@sha256:..." >&2; exit 1;; esac \
  && groupadd --gid 1000 tfx-federated \
  && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tfx-federated \
  && install --directory --owner 1000 --group 1000 /minio /s3 /gcs
COPY --from=beam /opt/apache/beam/boot /opt/apache/beam/boot
COPY --from=environments /opt/tfx-federated/tff /opt/tfx-federated/tff
COPY --from=environments /opt/tfx-federated/tfx /opt/tfx-federated/tfx
COPY --from=project /layer/ /
# PYTHONDONTWRITEBYTECODE: everything is compiled already. RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT: else Beam's boot makes a
# virtual environment below /opt. HOME and TMPDIR: the one folder that a step may always write to.
ENV PATH=/opt/tfx-federated/tfx/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/tfx-federated \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TFX_FEDERATED_TFF_PYTHON=/opt/tfx-federated/tff/bin/python \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    HOME=/tmp \
    TMPDIR=/tmp
WORKDIR /opt/tfx-federated
USER 1000:1000
ENTRYPOINT ["python", "-m", "tfx_federated.kubeflow.entrypoint"]
