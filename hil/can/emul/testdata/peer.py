"""A node on a CAN bus, by python-can, over an adapter with Lawicel's protocol.

  peer.py send PORT BITRATE FILE     sends the frames of FILE (candump's form, ID#DATA), one
                                     round every 200 ms, until it is ended
  peer.py hear PORT BITRATE LAYOUT   asks where the layout is one of questions, decodes what
                                     it hears by itself, and prints a JSON object a second
"""

import json
import struct
import sys
import time

import can


def parse(line):
    number, data = line.strip().split("#")
    return can.Message(
        arbitration_id=int(number, 16), is_extended_id=len(number) == 8, data=bytes.fromhex(data)
    )


def send(bus, file):
    with open(file) as f:
        frames = [parse(line) for line in f if line.strip()]
    while True:
        for frame in frames:
            bus.send(frame)
        time.sleep(0.2)


def low_voltage(number, data):
    if number == 0x351:
        top, charge, discharge, bottom = struct.unpack("<HhhH", data)
        return {"top": top / 10, "charge": charge / 10, "discharge": discharge / 10, "bottom": bottom / 10}
    if number == 0x355:
        soc, soh = struct.unpack("<HH", data[:4])
        return {"soc": soc, "soh": soh}
    if number == 0x356:
        volt, ampere, celsius = struct.unpack("<hhh", data[:6])
        return {"voltage": volt / 100, "current": ampere / 10, "temperature": celsius / 10}
    if number == 0x35C:
        return {"may_charge": bool(data[0] & 0x80), "may_discharge": bool(data[0] & 0x40)}
    if number == 0x35E:
        return {"maker": data.decode("ascii").strip()}
    return {}


def pylon_hv(number, data):
    if number == 0x4210:
        volt, ampere, celsius, soc, soh = struct.unpack("<HHHBB", data)
        return {
            "voltage": volt / 10, "current": (ampere - 30000) / 10, "temperature": (celsius - 1000) / 10,
            "soc": soc, "soh": soh,
        }
    if number == 0x4220:
        top, bottom, charge, discharge = struct.unpack("<HHHH", data)
        return {
            "top": top / 10, "bottom": bottom / 10,
            "charge": (charge - 30000) / 10, "discharge": (discharge - 30000) / 10,
        }
    if number == 0x4280:
        return {"may_charge": data[0] != 0xAA, "may_discharge": data[1] != 0xAA}
    return {}


def ecube(number, data):
    if number >> 28 != 1:
        return {}
    command = number >> 20 & 0xFF
    if command == 0x80:
        top, charge, bottom, discharge = struct.unpack("<HHHH", data)
        return {"top": top / 10, "charge": charge / 10, "bottom": bottom / 10, "discharge": discharge / 10}
    if command == 0x81:
        soc, soh = struct.unpack("<HH", data[:4])
        return {"soc": soc, "soh": soh}
    if command == 0x82:
        volt, ampere = struct.unpack("<Hh", data[:4])
        return {"voltage": volt / 10, "current": -ampere / 10}
    if command == 0x84:
        return {"temperature": struct.unpack("<h", data[:2])[0] / 10}
    if command == 0x85:
        return {"may_charge": not data[3] & 0x02, "may_discharge": not data[3] & 0x05}
    return {}


def extended(number, data=bytes(8)):
    return can.Message(arbitration_id=number, is_extended_id=True, data=data)


# What each layout is decoded with, how wide its identifiers are, and what is asked.
LAYOUTS = {
    "pylon-lv": (low_voltage, False, [can.Message(arbitration_id=0x305, is_extended_id=False, data=bytes(8))]),
    "victron-sma-lv": (low_voltage, False, []),
    "pylon-hv": (pylon_hv, True, [extended(0x4200)]),
    "ecube-hv-pcs": (ecube, True, [extended(0x18080010 | n << 20) for n in range(6)]),
}


def hear(bus, layout):
    decode, wide, questions = LAYOUTS[layout]
    known = {}
    told = 0.0
    while True:
        if time.time() - told > 0.5:
            told = time.time()
            print(json.dumps(known), flush=True)
            for question in questions:
                bus.send(question)
        frame = bus.recv(0.1)
        if frame is not None and frame.is_extended_id == wide:
            known.update(decode(frame.arbitration_id, bytes(frame.data)))


def main():
    what, port, bitrate = sys.argv[1:4]
    bus = can.Bus(
        interface="slcan", channel=port, bitrate=int(bitrate), ttyBaudrate=115200, sleep_after_open=0.1
    )
    print("ready", flush=True)
    if what == "send":
        send(bus, sys.argv[4])
    elif what == "hear":
        hear(bus, sys.argv[4])


main()
