"""Serves the registers of an image over Modbus TCP with pymodbus, as unit 1.

Arguments: the image, {"base": address, "regs": [registers]}, and registers that are
changed in it, as address=value. The port, which is a free one, is printed when it is
open.
"""
import asyncio
import json
import sys

from pymodbus.datastore import (
    ModbusSequentialDataBlock,
    ModbusServerContext,
    ModbusSlaveContext,
)
from pymodbus.server.async_io import ModbusTcpServer


async def serve(path, changes):
    with open(path, encoding="utf-8") as f:
        image = json.load(f)
    for change in changes:
        address, value = change.split("=")
        image["regs"][int(address) - image["base"]] = int(value)
    block = ModbusSequentialDataBlock(image["base"], image["regs"])
    unit = ModbusSlaveContext(hr=block, zero_mode=True)
    context = ModbusServerContext(slaves={1: unit}, single=False)
    server = ModbusTcpServer(context, address=("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve_forever())
    await server.serving
    print(server.server.sockets[0].getsockname()[1], flush=True)
    await serving


asyncio.run(serve(sys.argv[1], sys.argv[2:]))
