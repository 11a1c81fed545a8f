"""What tests share: boxes to type on, servers to talk to, records and bundles made up or forged."""
