"""A server by pymodbus: unit 1 on 127.0.0.1 and the port given, registers that hold their addresses."""

import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartTcpServer

registers = ModbusSequentialDataBlock(0, list(range(1000)))
inputs = ModbusSequentialDataBlock(0, list(range(1000, 2000)))
inputs_of_bits, coils = (ModbusSequentialDataBlock(0, [n % 3 == 0 for n in range(100)]) for _ in range(2))
unit = ModbusSlaveContext(di=inputs_of_bits, co=coils, hr=registers, ir=inputs, zero_mode=True)
StartTcpServer(context=ModbusServerContext(slaves={1: unit}, single=False), address=("127.0.0.1", int(sys.argv[1])))
