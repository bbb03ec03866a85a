package file

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Options of a Source. The zero value is good.
type Options struct {
	// Name under which the source reports to its sink, "file" if empty.
	Name string
	// Quiet is how long the directories have to rest before they are read again, so that a file is
	// not read while it is being written; 100 ms if 0. Steady writing puts it off five-fold at most.
	Quiet time.Duration
	// Arrival is how long a file that was put into place has to rest, in which case it is complete
	// and only others that come with it are waited for; 10 ms if 0. Readings are five times that
	// apart. A file that is created to be written tells so by the first write, and rests for Quiet.
	Arrival time.Duration
	// Settle is how long an object has to be gone before that counts as its deletion, since
	// editors and tools remove a file and write it anew; 400 ms if 0.
	Settle time.Duration
	// Poll is how often the files' times are looked at even without a notification, for changes
	// that the kernel does not tell (network file systems, links that lead out of the directory,
	// a directory that was replaced); 1 s if 0.
	Poll   time.Duration
	Logger *slog.Logger // nil for none
}

// Source reads directories and follows their changes.
type Source struct {
	opts Options
	log  *slog.Logger
	dirs []*directory

	current   map[model.Key]*model.Object // what the sink has
	gone      map[model.Key]time.Time     // since when an object of current is missing
	problems  []model.Problem             // what the sink was told
	told      map[string]bool             // documents whose being ignored was logged
	suspect   map[string]bool             // paths that were notified
	readAgain time.Time                   // when the directories were last read again
}

// New gives a source of directories. An object of a later directory replaces one of an earlier
// directory with the same key.
func New(dirs []string, opts Options) *Source {
	opts.Name = cmp.Or(opts.Name, "file")
	opts.Quiet = cmp.Or(opts.Quiet, 100*time.Millisecond)
	opts.Arrival = cmp.Or(opts.Arrival, min(10*time.Millisecond, opts.Quiet))
	opts.Settle = cmp.Or(opts.Settle, 400*time.Millisecond)
	opts.Poll = cmp.Or(opts.Poll, time.Second)
	s := &Source{
		opts: opts, log: opts.Logger, current: map[model.Key]*model.Object{},
		gone: map[model.Key]time.Time{}, told: map[string]bool{}, suspect: map[string]bool{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, dir := range dirs {
		s.dirs = append(s.dirs, &directory{path: filepath.Clean(dir), files: map[string]*fileState{}})
	}
	return s
}

// Run delivers the directories' objects to the sink, then their changes, until ctx ends. A
// directory that cannot be read at the start is an error; one that is lost later is a problem.
func (s *Source) Run(ctx context.Context, sink model.Sink) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch for changes of the configuration: %w", err)
	}
	defer watcher.Close()
	for _, d := range s.dirs {
		if err := watcher.Add(d.path); err != nil {
			return fmt.Errorf("configuration directory %s cannot be read: %s", d.path, reason(err))
		}
		if d.read(nil); d.lost != nil {
			return fmt.Errorf("configuration directory %s cannot be read: %s", d.path, reason(d.lost))
		}
	}
	s.deliver(sink, true)
	sink.Synced(s.opts.Name)
	return s.follow(ctx, watcher, sink)
}

// follow reads the directories again after changes.
func (s *Source) follow(ctx context.Context, watcher *fsnotify.Watcher, sink model.Sink) error {
	quiet := time.NewTimer(s.opts.Arrival)
	defer quiet.Stop()
	// What was written between the first reading and now is caught by reading once more.
	waiting, first, due := true, time.Now(), time.Now().Add(s.opts.Arrival)
	poll := time.NewTicker(s.opts.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-watcher.Events:
			if !ok {
				return fmt.Errorf("watching the configuration ended")
			}
			if !s.concerns(event) {
				continue
			}
			s.suspect[filepath.Clean(event.Name)] = true
			if !waiting {
				waiting, first, due = true, time.Now(), time.Time{}
			}
			due = earliest(first.Add(5*s.opts.Quiet), latest(due, time.Now().Add(s.rest(event))))
			quiet.Reset(time.Until(due))
		case err, ok := <-watcher.Errors:
			if !ok {
				return fmt.Errorf("watching the configuration ended")
			}
			s.log.Warn("notifications of changes were lost, reading all files again", slog.Any("error", err))
		case <-poll.C:
			if !waiting {
				s.reread(watcher, sink)
			}
		case <-quiet.C:
			waiting = false
			if s.reread(watcher, sink); len(s.gone) > 0 {
				waiting, first, due = true, time.Now(), time.Time{}
				quiet.Reset(s.untilSettled())
			}
		}
	}
}

// rest gives how long to wait after a notification: a file that appears is mostly one that was
// renamed into place. Many of them one after the other are read together, since a reading costs in
// proportion to all files.
func (s *Source) rest(event fsnotify.Event) time.Duration {
	if event.Op == fsnotify.Create && named(filepath.Base(event.Name)) {
		return max(s.opts.Arrival, time.Until(s.readAgain.Add(5*s.opts.Arrival)))
	}
	return s.opts.Quiet
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// concerns tells whether a notification is about one of our files, or about a link beside them
// which they may lead through.
func (s *Source) concerns(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false // contents are as they were; a file made readable is found by the poll
	}
	name := filepath.Base(event.Name)
	return named(name) || name == "..data" || slices.ContainsFunc(s.dirs, func(d *directory) bool { return d.path == filepath.Clean(event.Name) })
}

// reread brings everything up to date, and watches again what was lost or replaced.
func (s *Source) reread(watcher *fsnotify.Watcher, sink model.Sink) {
	s.readAgain = time.Now()
	changed := false
	for _, d := range s.dirs {
		before, lost := d.info, d.lost
		if d.read(s.suspect) {
			changed = true
		}
		if d.lost == nil && (lost != nil || !sameDirectory(before, d.info)) {
			changed = true
			// A watch follows the directory that it was given, not the name.
			_ = watcher.Remove(d.path) // it is an error where the kernel has dropped it already
			if err := watcher.Add(d.path); err != nil {
				d.lost = err
			}
		}
	}
	clear(s.suspect)
	if changed || len(s.gone) > 0 {
		s.deliver(sink, false)
	}
}

// untilSettled gives how long it takes until the first of the missing objects counts as deleted.
func (s *Source) untilSettled() time.Duration {
	first := slices.MinFunc(slices.Collect(maps.Values(s.gone)), time.Time.Compare)
	return max(time.Millisecond, time.Until(first.Add(s.opts.Settle)))
}

// deliver tells the sink what changed.
func (s *Source) deliver(sink model.Sink, first bool) {
	wanted := s.gather()
	events := s.diff(wanted.objects, wanted.invalid)
	if !first && len(events) == 0 && slices.Equal(wanted.problems, s.problems) {
		return
	}
	s.problems = wanted.problems
	sink.Apply(s.opts.Name, events, slices.Clone(wanted.problems))
}

// diff gives the events that lead from what the sink has to what is wanted. A missing object is
// deleted once it was missing for long enough; one that is there in a broken form is not missing.
func (s *Source) diff(wanted map[model.Key]*model.Object, invalid map[model.Key]bool) []model.Event {
	var events []model.Event
	for key, o := range wanted {
		delete(s.gone, key)
		if old := s.current[key]; !sameObject(old, o) {
			events = append(events, model.Event{Key: key, Old: old, New: o})
			s.current[key] = o
		}
	}
	now := time.Now()
	for key, old := range s.current {
		if wanted[key] != nil {
			continue
		}
		if invalid[key] {
			delete(s.gone, key)
			continue
		}
		since, missing := s.gone[key]
		if !missing {
			s.gone[key] = now
			continue
		}
		if now.Sub(since) >= s.opts.Settle {
			events = append(events, model.Event{Key: key, Old: old})
			delete(s.current, key)
			delete(s.gone, key)
		}
	}
	slices.SortFunc(events, func(a, b model.Event) int { return a.Compare(b.Key) })
	return events
}
