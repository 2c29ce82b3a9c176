# syntax=docker/dockerfile:1
FROM oven/bun:1.4.5-slim AS dependencies
WORKDIR /app
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production --ignore-scripts

FROM oven/bun:1.4.5-slim
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY config ./config
COPY src ./src
# The folder belongs to the user that runs, so that a new volume on it does as well.
RUN mkdir /data && chown bun:bun /data
ENV NODE_ENV=production BUN_CONFIG_MAX_HTTP_REQUESTS=4096 MIMALLOC_PURGE_HOLES=0 DATA_DIR=/data
USER bun
VOLUME /data
EXPOSE 3001
STOPSIGNAL SIGTERM
# PORT may be changed; a listener on all addresses also answers on the loopback one.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["bun", "-e", "process.exit((await fetch(`http://127.0.0.1:${process.env.PORT || 3001}/health`)).ok ? 0 : 1)"]
# Without a shell between: the signal reaches the program itself.
ENTRYPOINT ["bun", "src/main.ts"]
