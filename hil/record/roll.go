package record

import (
	"slices"
	"sync/atomic"
	"time"

	"yunchu/platform/device"
)

// Bounds of a Roll.
const (
	rollQueue   = 4096             // messages that wait for the disk
	rollWaiting = 16 << 20         // bytes of them
	crossedMost = 160              // bytes that a message takes beside its data, at most
	opening     = 5 * time.Second  // after its first message, in which a driver finds its way about the device
	openingMost = 1 << 20          // bytes of that, in memory
	rollAgain   = time.Minute      // after which a disk that failed is tried again
	rollMost    = 24 * time.Hour   // how long one file is written at most
	rollLook    = 10 * time.Second // how often the shelf is looked through
)

// Roll records the links of one device for as long as it lasts, in files of a shelf. Each
// file stands alone: it begins with what crossed the links when the device was first heard,
// which is where drivers ask what it has. Whoever taps never waits: what the disk does not
// take in time is shed and counted.
type Roll struct {
	shelf *Shelf
	id    device.ID
	head  func() (Head, error)
	queue chan crossed
	stop  chan struct{}
	done  chan struct{}

	waiting atomic.Int64 // bytes in queue
	shed    atomic.Uint64

	// On its own goroutine:
	out    *Writer
	path   string
	begun  time.Time // of out
	failed time.Time // when the disk last failed; zero: it has not
	first  time.Time // when the device was heard first; zero: not yet
	start  []crossed // what crossed the links then, and before
	size   int       // of that, in memory
	ready  bool      // start is complete
}

// crossed is a message on its way to the disk, or a command that has ended.
type crossed struct {
	link    string
	c       device.Crossing
	command *Command
}

// NewRoll begins to record the links of a device; head says what is known of it when a file
// is begun. Close ends it.
func (s *Shelf) NewRoll(id device.ID, head func() (Head, error)) *Roll {
	r := &Roll{shelf: s, id: id, head: head, queue: make(chan crossed, rollQueue), stop: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	return r
}

// Tap notes what crosses a link; its name tells the links of one device apart.
func (r *Roll) Tap(link string) device.Tap {
	return func(c device.Crossing) {
		c.Data = slices.Clone(c.Data)
		r.put(crossed{link: link, c: c})
	}
}

// Told notes a command that the device is given now; its answer is there when ended is called.
func (r *Roll) Told(c device.Command) (ended func()) {
	at := time.Now() // as what crosses the link is noted
	return func() { r.put(crossed{command: &Command{At: at, Done: time.Now(), Verb: c.Verb, PowerKW: c.Power}}) }
}

func (r *Roll) put(x crossed) {
	n := int64(len(x.c.Data))
	if n > maxData || r.waiting.Add(n) > rollWaiting {
		if n <= maxData {
			r.waiting.Add(-n)
		}
		r.shed.Add(1)
		return
	}
	select {
	case r.queue <- x:
	default:
		r.waiting.Add(-n)
		r.shed.Add(1)
	}
}

// Shed is how many messages were not recorded: the disk was too slow for them, or failed.
func (r *Roll) Shed() uint64 { return r.shed.Load() }

// Close ends the recording with what has come until now.
func (r *Roll) Close() {
	close(r.stop)
	<-r.done
}

func (r *Roll) run() {
	defer close(r.done)
	look := time.NewTicker(rollLook)
	defer look.Stop()
	soon := time.NewTicker(time.Second)
	defer soon.Stop()
	for {
		select {
		case x := <-r.queue:
			r.take(&x)
		case now := <-soon.C:
			r.opened(now)
		case now := <-look.C:
			r.look(now)
		case <-r.stop:
			for {
				select {
				case x := <-r.queue:
					r.take(&x)
					continue
				default:
				}
				break
			}
			r.opened(r.first.Add(opening))
			r.end()
			return
		}
	}
}

// look ends a file that is long enough, or gone, and has the shelf looked after.
func (r *Roll) look(now time.Time) {
	r.shelf.upkeep(now)
	if r.out != nil && (now.Sub(r.begun) >= r.most() || r.out.written() >= r.shelf.FileBytes || !r.shelf.grown(r.path)) {
		r.end()
	}
}

// most is how long one file is written: parts of what is kept, so that it goes in parts.
func (r *Roll) most() time.Duration { return min(rollMost, max(time.Minute, r.shelf.Keep/8)) }

// take records one message.
func (r *Roll) take(x *crossed) {
	r.waiting.Add(-int64(len(x.c.Data)))
	if !r.ready {
		if r.first.IsZero() && x.command == nil && !x.c.Out {
			r.first = x.c.At
		}
		for r.size += x.size(); r.size > openingMost && r.first.IsZero() && len(r.start) > 0; r.start = r.start[1:] {
			r.size -= r.start[0].size()
			r.shed.Add(1)
		}
		r.start = append(r.start, *x)
		if r.size > openingMost {
			r.opened(r.first.Add(opening))
		} else if x.command == nil {
			r.opened(x.c.At)
		}
		return
	}
	if r.out != nil && r.out.written() >= r.shelf.FileBytes {
		r.end()
	}
	if r.out == nil && !r.begin(x.at()) {
		r.shed.Add(1)
		return
	}
	r.write(x)
}

// size is what it takes of the memory that a beginning may have: those without data too.
func (x *crossed) size() int { return crossedMost + len(x.c.Data) }

func (x *crossed) at() time.Time {
	if x.command != nil {
		return x.command.At
	}
	return x.c.At
}

// opened begins the first file once the device was heard for long enough at now.
func (r *Roll) opened(now time.Time) {
	if r.ready || r.first.IsZero() || now.Sub(r.first) < opening {
		return
	}
	r.ready = true
	if !r.begin(r.start[0].at()) {
		r.shed.Add(uint64(len(r.start)))
	}
	r.start = slices.DeleteFunc(r.start, func(x crossed) bool { return x.command != nil })
}

// begin opens a file that starts at the given time, with what crossed the links at first.
func (r *Roll) begin(at time.Time) bool {
	now := time.Now()
	if !r.failed.IsZero() && now.Sub(r.failed) < rollAgain {
		return false
	}
	r.failed = time.Time{}
	h, err := r.head()
	if err == nil {
		r.path, err = r.shelf.begin(r.id, now)
	}
	if err == nil {
		h.Started = at
		if r.out, err = Create(r.path, h, 0); err != nil {
			r.shelf.ended(r.path, now)
		}
	}
	if err != nil {
		r.failed, r.out = now, nil
		r.say(err)
		return false
	}
	r.begun = now
	for i := range r.start {
		r.write(&r.start[i])
	}
	return r.out != nil
}

func (r *Roll) write(x *crossed) {
	if r.out == nil {
		return
	}
	if x.command != nil {
		r.out.Command(*x.command)
	} else {
		r.out.Tap(x.link)(x.c)
	}
	if err := r.out.failed(); err != nil {
		r.shed.Add(1)
		r.failed = time.Now()
		r.end()
	}
}

// end closes the file that is being written.
func (r *Roll) end() {
	if r.out == nil {
		return
	}
	r.say(r.out.Close())
	r.shed.Add(uint64(r.out.Dropped()))
	r.shelf.ended(r.path, time.Now())
	r.out = nil
}

func (r *Roll) say(err error) {
	if err != nil && r.shelf.Log != nil {
		r.shelf.Log.Error("what crosses the links is not recorded", "device", r.id, "error", err)
	}
}
