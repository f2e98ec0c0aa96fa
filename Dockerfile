# One static binary, nothing else. `make image` builds the binary (target-feature=+crt-static) and this image.
FROM scratch
COPY target/image/landfall /landfall
COPY target/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/landfall"]
