# The CPU image and CUDA for its TFX environment. Build it from the repository's root: see README.md beside this file.
# checkov:skip=CKV_DOCKER_2:Kubernetes looks at the health of containers, and a step is healthy while it runs
# checkov:skip=CKV_DOCKER_7:the base is an argument, and one without a digest is refused

# The image of cpu.Dockerfile, by digest: REGISTRY/tfx-federated@sha256:...
ARG CPU_IMAGE

FROM ${CPU_IMAGE} AS libraries
ARG CPU_IMAGE
RUN case "$CPU_IMAGE" in *@sha256:*) ;; *) echo "CPU_IMAGE=$CPU_IMAGE: name it by digest, REGISTRY/NAME@sha256:..." >&2; exit 1;; esac
USER 0
WORKDIR /build
COPY manifests/images/gpu.txt ./
RUN python -m pip install --quiet --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
      --prefix /layer/opt/tfx-federated/tfx -r gpu.txt

FROM ${CPU_IMAGE}
COPY --from=libraries /layer/ /
# The container toolkit gives the driver's libraries to a container that asks for them.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
