// Package file is the source that reads the mesh's objects from directories of YAML, the same
// YAML that kubectl takes: it decodes and validates them, follows edits, and hands the store
// events and problems. An object that becomes unreadable keeps its last good version. A change
// costs what the changed files hold.
package file

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// Options of a Source. The zero value is good.
type Options struct {
	// Name under which the source reports to its sink, "file" if empty.
	Name string
	// Lean leaves out of the objects what decides nothing about a proxy: most of a pod, what others
	// note in its metadata and status, what a Deployment makes. A change of only that is none.
	Lean bool
	// Settle is how long an object has to be gone before that counts as its deletion, since
	// editors and tools remove a file and write it anew; 400 ms if 0.
	Settle time.Duration
	// Poll is how often the directories, and files behind links or on network file systems, are
	// looked at even without a notification; 1 s if 0. All others are looked at a tenth as often.
	Poll time.Duration
	// Quiet is how long a file has to rest that was found to have changed by such a look, so that
	// it is not read while it is being written; 100 ms if 0.
	Quiet time.Duration
	// Patience is how long the disk is waited for, for each file; 3 s if 0. A file whose read takes
	// longer is a problem until the read ends.
	Patience time.Duration
	// AllowEmpty lets a directory without any file delete what it held. Without it that waits for a
	// file .allow-empty in the directory, since it may be a disk that is not mounted.
	AllowEmpty bool
	Logger     *slog.Logger // nil for none

	disk disk // this machine's if nil
}

// usualPatience is far above what a disk takes that works.
const usualPatience = 3 * time.Second

// Source reads directories and follows their changes.
type Source struct {
	opts  Options
	log   *slog.Logger
	tree  *tree
	watch *watch        // while it runs
	asked chan struct{} // holds one token while the sink waits for a call
	looks int           // how often the directories were looked at
	again time.Time
}

// New gives a source of directories. An object of a later directory replaces one of an earlier
// directory with the same key.
func New(dirs []string, opts Options) *Source {
	opts.Name = cmp.Or(opts.Name, "file")
	opts.Settle = cmp.Or(opts.Settle, 400*time.Millisecond)
	opts.Poll = cmp.Or(opts.Poll, time.Second)
	opts.Quiet = cmp.Or(opts.Quiet, 100*time.Millisecond)
	opts.Patience = cmp.Or(opts.Patience, usualPatience)
	if opts.disk == nil {
		opts.disk = machine{}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Source{opts: opts, log: opts.Logger, tree: newTree(dirs, opts, readers(opts)), asked: make(chan struct{}, 1)}
}

// readers gives how readers are made that have their strings in common.
func readers(opts Options) func() *reader {
	seed, interned, known := maphash.MakeSeed(), newInterner(), newEffects()
	return func() *reader {
		r := &reader{seed: seed, disk: opts.disk}
		r.effects, r.check, r.finish = known, validate.Object, interned.object
		r.ignored = func(file, what string) {
			opts.Logger.Debug("a document does not concern the mesh", slog.String("file", file), slog.String("object", what))
		}
		if opts.Lean {
			r.writer.omit = bookkeeping()
			r.finish = func(o *model.Object) {
				reduce(o)
				interned.lean(o)
			}
		}
		return r
	}
}

// Run delivers the directories' objects to the sink, then their changes, until ctx ends. A
// directory that cannot be read at the start is an error; one that is lost later is a problem.
func (s *Source) Run(ctx context.Context, sink model.Sink) error {
	var err error
	if s.watch, err = newWatch(); err != nil {
		return err
	}
	defer s.watch.close()
	s.tree.watch = func(d *directory) error { return s.watch.add(d.order, d.path) }
	for _, d := range s.tree.dirs {
		if s.tree.scan(d, time.Now()); d.lost != nil {
			return fmt.Errorf("configuration directory %s cannot be read: %s", d.path, reason(d.lost))
		}
		if !d.holds() && !d.mayBeEmpty() {
			s.log.Warn("the configuration directory holds no file of YAML or JSON", slog.String("directory", d.path))
		}
	}
	s.deliver(sink, true)
	sink.Synced(s.opts.Name)
	return s.follow(ctx, sink)
}

// Each visits all objects that the source has. It is for the sink, while that takes a call.
func (s *Source) Each(visit func(*model.Object)) {
	for _, d := range s.tree.index.keys {
		if d.told != nil {
			visit(d.told)
		}
	}
}

// Again lets the source call its sink soon.
func (s *Source) Again() {
	select {
	case s.asked <- struct{}{}:
	default: // it will
	}
}

// follow brings what is known up to date after changes.
func (s *Source) follow(ctx context.Context, sink model.Sink) error {
	poll := time.NewTicker(s.opts.Poll)
	defer poll.Stop()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		s.setAlarm(alarm)
		select {
		case <-ctx.Done():
			return nil
		case <-s.asked:
			problems, _ := s.tree.index.present()
			sink.Apply(s.opts.Name, nil, problems)
		case <-s.watch.wake:
			told, err := s.watch.take()
			if err != nil {
				return err
			}
			s.changed(told)
		case <-s.tree.wake:
			for _, then := range s.tree.overdue() {
				then(time.Now())
			}
		case <-poll.C:
			s.looks++
			s.look(s.looks%10 == 0)
		case <-alarm.C:
			if !s.again.IsZero() && !time.Now().Before(s.again) {
				s.look(false)
			}
		}
		s.deliver(sink, false)
	}
}

// setAlarm sets the time at which something is due without a notification.
func (s *Source) setAlarm(alarm *time.Timer) {
	due := s.tree.index.due()
	if due.IsZero() || !s.again.IsZero() && s.again.Before(due) {
		due = s.again
	}
	if due.IsZero() {
		alarm.Stop()
	} else {
		alarm.Reset(max(0, time.Until(due)))
	}
}

// changed takes what the kernel has told.
func (s *Source) changed(told *changes) {
	now := time.Now()
	if told.lost {
		s.log.Warn("notifications of changes were lost, reading all files again")
	}
	for _, d := range s.tree.dirs {
		if told.lost || told.dirs[d.order] {
			s.scan(d, now)
		}
	}
	s.tree.follow(told.files, now)
}

// scan reads a directory again.
func (s *Source) scan(d *directory, now time.Time) {
	if d.hangs {
		return // it is read when the disk answers
	}
	if s.tree.scan(d, now); d.lost != nil {
		s.watch.remove(d.order)
	}
}

// look looks for changes that the kernel did not tell: directories that were replaced, files
// behind links and on network file systems, from time to time all.
func (s *Source) look(all bool) {
	now := time.Now()
	s.again = time.Time{}
	for _, d := range s.tree.dirs {
		if s.tree.look(d, all, now) {
			s.again = now.Add(s.opts.Quiet)
		}
		if d.lost != nil {
			s.watch.remove(d.order)
		}
	}
}

// deliver tells the sink what changed.
func (s *Source) deliver(sink model.Sink, first bool) {
	events := s.tree.take(time.Now())
	problems, changed := s.tree.index.present()
	if first || changed || len(events) > 0 {
		sink.Apply(s.opts.Name, events, problems)
	}
}
