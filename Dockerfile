# An image of the appliance for amd64 and arm64 (docs/install.md, In a container). The folder /data has everything that outlives it.
FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
COPY appliance /source/appliance
COPY models /source/models
COPY setup.cfg pyproject.toml README.md LICENSE NOTICE /source/
RUN python3 -m venv /opt/face-appliance \
    && /opt/face-appliance/bin/pip install --no-cache-dir --prefer-binary "/source[fleet,osdp]" \
    && /opt/face-appliance/bin/appliance selftest \
    && /opt/face-appliance/bin/pip uninstall -y pip

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* \
    && mkdir -m 700 /data && chown 9297:9297 /data
COPY --from=build /opt/face-appliance /opt/face-appliance
# In a container there is no camera unless one is passed in.
ENV PATH=/opt/face-appliance/bin:/usr/bin:/bin STATE_DIRECTORY=/data XDG_CONFIG_HOME=/data/config HOME=/data \
    APPLIANCE_SERVER__HOST=0.0.0.0 APPLIANCE_CAMERA__DRIVER=none
USER 9297:9297
VOLUME /data
EXPOSE 9297
HEALTHCHECK --start-period=60s CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9297/healthz', timeout=5)"]
ENTRYPOINT ["appliance"]
CMD ["serve"]
