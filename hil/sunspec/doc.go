// Package sunspec is the driver of devices that describe their Modbus registers by
// SunSpec information models, and the models themselves.
//
// # The map
//
// A map begins with "SunS" at 40000, 0 or 50000, and is a chain of models, each with its
// ID, its length and its points. Scan walks the chain; a Block is one model of it, a Value
// what one of its points holds. The layouts are in models.txt: facts from
// github.com/sunspec/models, json/, commit 7abdf8982d5364f8ae916deee18aac86c11be36d,
// Apache-2.0, in a form of our own. Models that are not there are passed over.
//
// A number in a register is multiplied by ten to the power of its scale factor, which is
// a register too. It is read with the number each time, in the same request, and never
// kept: a device may change it while it runs. A point that is not implemented has a mark
// in its register, or a scale factor that has; both make it no number here.
//
// # What is read from where
//
// The first point that the device had implemented when it was scanned is used; without
// any, the first that exists.
//
//	power         701.W, 103.W, 102.W, 101.W: positive generates, so its sign is turned
//	soc           802.SoC, 713.SoC, 124.ChaState
//	soh           802.SoH, 713.SoH
//	voltage       802.V, 714.DCV of the port that is storage, 124.InBatV, 103.DCV, 102.DCV, 101.DCV
//	current       802.A, 714.DCA of that port: sign as Options.BatteryPositive says
//	temperature   803.ModTmpMax, 804.ModTmpMax, else of the cabinet: 701, 103, 102, 101.TmpCab
//	max charge    least of 802.AChaMax × voltage, 802.WChaRteMax, 702.WChaRteMax (its rating,
//	              120.MaxChaRte); 0 when 802.State, ReqInvState or an alarm in Evt1 forbids it,
//	              or at 802.VMax
//	max discharge likewise, 802.ADisChaMax and so on, and at 802.VMin
//	own windows   charge: 802.SoCMin and SoCRsvMin, SoCMax and SocRsvMax, the inner ones;
//	              voltage: 802.VMin, 802.VMax
//	status        701.InvSt, 103.St, 802.State: fault, standby; 802.ChaSt or 124.ChaSt: charging,
//	              discharging, idle; the sign of power without
//	heartbeat     715.DERHb, 802.Hb: each must change within 3 s
//	local         715.LocRemCtl, 802.LocRemCtl
//	e-stop        MANUAL_SHUTDOWN in 701.Alrm, 103.Evt1
//
// SunSpec does not say which way the current of a battery is counted. Charging is taken
// for positive, as it is everywhere else outside a register and in the register image
// that our decoder is tested with (-625 A while discharging). Where a maker has it the
// other way round, the setting says so, and the sign test before the first command finds
// it.
//
// # What is written where
//
//	setpoint      704, in this order: WSetEnaRvrt and WSetRvrtTms, then WSetMod (watts), WSet
//	              and WSetRvrt (0), then WSetEna; without it 124: InOutWRte_RvrtTms, ChaGriSet,
//	              then OutWRte and InWRte, which bound the power from both sides to the
//	              setpoint in percent of WChaMax, then StorCtl_Mod. 123 takes no setpoint
//	heartbeat     715.ControllerHb, 802.CtrlHb, once a second from the first setpoint on
//	mode          715.OpCtl, else 802.SetInvState
//	e-stop        setpoint 0, 715.OpCtl STOP, 802.SetOp DISCONNECT; with neither 123.Conn
//	reset         setpoint 0, 715.AlarmReset, 802.AlmRst, SetOp CONNECT, OpCtl START
//	ramp          the finest of 704.WRmp, 121.WGra, 124.WChaGra and WDisChaGra
//	power limit   704.WMaxLimPct, 123.WMaxLimPct, with its RvrtTms while it is below 100
//	connect       123.Conn, with Conn_RvrtTms while it is 0
//	reactive      704.VarSet, VarSetPct and VarSetEna with VarSetRvrtTms, 123.VAr…Pct and
//	              VArPct_Ena with VArPct_RvrtTms, while they are not 0
//	power factor  704.PFWInj and PFWAbs, .PF, .Ext and Ena, with their RvrtTms, 123.OutPFSet and
//	              OutPFSet_Ena with OutPFSet_RvrtTms, while they are not 1, or not 0. A device
//	              without these times is asked for no reactive power and no power factor
//	reserve       124.MinRsvPct, 802.SoCRsvMin
//
// All other points that can be written are settings by model.point. Those that act are
// listed and can be read, and only commands write them, which expire and pass a guard.
//
// A device that nobody commands is never written to. A setpoint that registers have no
// number for is rounded towards 0. It always has a time to revert, where the device has
// one, is read back from the device with that time, and is renewed by Read after a third of
// it for as long as the command holds, each time with a look back; at once when the device has
// changed the scale of its register under it. It is given up, not renewed,
// when the device is in local control or in fault, or when somebody else has changed it. With
// each reading its timer is looked at: one that is gone, reverts to something else, or does not
// run although it did, is armed again once, and where that does not last there is no power.
//
// A power limit and an open switch have a time to revert as well, twice as long, so that a
// bound is not lifted, nor a switch closed, before the power is gone; they are renewed and
// watched in the same way. The switch that an emergency stop opens stays open.
package sunspec
