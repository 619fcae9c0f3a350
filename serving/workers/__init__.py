"""Several processes behind one socket: who starts and replaces them, and how one of them speaks for all to Prometheus."""
