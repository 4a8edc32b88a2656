"""The server side of each venue's protocol, for the local venue servers of tests and the demo."""
