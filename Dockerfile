# The daemon's image (target `runtime`, the default one to publish) and the demo's workload (target `demo`).
# No secret goes in: addresses and passwords come from the environment or from files when a container starts.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Nothing here is compiled, so no package's script needs to run.
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-bookworm-slim AS base
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE* ./
COPY bin bin
COPY dev/docker/health-check.js dev/docker/
COPY --from=build /app/dist dist
# Root owns the program, and any user may run it, whatever the modes in the checkout were; only the folder for state
# (the sample's index) is the user's.
RUN chmod -R a+rX package.json bin dev dist && chmod 755 bin/afterimage.js \
 && ln -s /app/bin/afterimage.js /usr/local/bin/afterimage \
 && install -d -o 1000 -g 1000 /var/lib/afterimage \
 && install -d /etc/afterimage
# By number: Kubernetes can then see that it is not root.
USER 1000:1000
# afterimage.yaml is looked for here.
WORKDIR /etc/afterimage

FROM base AS demo
COPY dev/demo/workload.ts dev/demo/products.ts /app/dev/demo/
COPY dev/servers/wait-for.ts /app/dev/servers/
COPY src/errors.ts /app/src/
COPY dev/docker/workload.ts /app/dev/docker/
ENTRYPOINT ["node", "/app/dev/docker/workload.ts"]

FROM base AS runtime
LABEL org.opencontainers.image.title="afterimage" \
      org.opencontainers.image.description="Postgres change data capture to Kafka, exactly once" \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 7788 7789
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s --retries=3 \
  CMD ["node", "/app/dev/docker/health-check.js"]
ENTRYPOINT ["afterimage"]
CMD ["start"]
