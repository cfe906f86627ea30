"""A peer over pymodbus 3.0: serves unit 1 on a free port of this machine, which it prints.
Holding registers hold their addresses."""
import asyncio
import socket

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import ModbusTcpServer


async def main():
    with socket.socket() as s:  # the library does not tell which port it took
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    unit = ModbusSlaveContext(
        di=ModbusSequentialDataBlock(0, [0] * 100),
        co=ModbusSequentialDataBlock(0, [0] * 100),
        hr=ModbusSequentialDataBlock(0, list(range(1000))),
        ir=ModbusSequentialDataBlock(0, list(range(1000, 2000))),
        zero_mode=True,
    )
    server = ModbusTcpServer(ModbusServerContext(slaves={1: unit}, single=False), address=("127.0.0.1", port))
    serving = asyncio.ensure_future(server.serve_forever())
    while server.server is None:
        await asyncio.sleep(0.01)
    print(port, flush=True)
    await serving


asyncio.run(main())
