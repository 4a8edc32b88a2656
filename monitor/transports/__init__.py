"""Where bytes enter: websockets and HTTPS requests. No knowledge of any venue."""
