# A version 2 config as a container: nginx, which follows the instances of its backend. From the checkout:
#
#     docker build -f examples/v2-nginx.Dockerfile -t v2-nginx .
#     docker run --name v2-nginx -e CONSUL=consul.example.com v2-nginx
#     docker stop v2-nginx; docker inspect -f '{{.State.ExitCode}}' v2-nginx
ARG RUST=rust:1.95-bookworm
ARG NGINX=nginx:1

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM ${NGINX}
COPY --from=build /src/target/x86_64-unknown-linux-gnu/release/containerpilot /bin/containerpilot
COPY config-samples/v2-nginx.json5 /etc/containerpilot.json5
COPY config-samples/v2-nginx.conf /etc/nginx/nginx.conf.tmpl
ENV CONTAINERPILOT=file:///etc/containerpilot.json5
ENTRYPOINT ["/bin/containerpilot"]
CMD ["nginx", "-g", "daemon off;"]
