"""FastMCP's proxy before another server; runs where FastMCP is installed."""

import sys

import uvicorn
from fastmcp.server import create_proxy  # type: ignore[import-not-found]

if __name__ == "__main__":
    app = create_proxy(f"http://127.0.0.1:{sys.argv[2]}/mcp", name="proxy").http_app()
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
