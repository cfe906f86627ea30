package hil

import (
	"fmt"

	"yunchu/platform/device"
)

func openLink(_ *Device, _ string, l Link) (device.Driver, error) {
	return nil, fmt.Errorf("kind %s cannot be opened by this version", l.Kind)
}

func openReplay(d Device) (device.Driver, error) {
	return nil, fmt.Errorf("recording %s cannot be opened by this version", d.Recording)
}
