"""Serves a register image over Modbus TCP until it is killed.

    pymodbus_server.py IMAGE.json PORT [ADDRESS=VALUE ...]

IMAGE.json has "base" and "regs"; registers that are named afterwards have another value.
"""
import json
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartTcpServer


def main():
    with open(sys.argv[1]) as f:
        image = json.load(f)
    regs = image["regs"]
    for change in sys.argv[3:]:
        address, value = change.split("=")
        regs[int(address) - image["base"]] = int(value)
    block = ModbusSequentialDataBlock(image["base"], regs)
    context = ModbusServerContext(slaves=ModbusSlaveContext(hr=block, zero_mode=True), single=True)
    StartTcpServer(context=context, address=("127.0.0.1", int(sys.argv[2])))


main()
