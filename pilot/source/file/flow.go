package file

// flow reads a value in the form of JSON. Its lines are indented more than outer.
func (r *plainReader) flow(outer, depth int, omit *omission) bool {
	switch r.at(0) {
	case '{':
		return r.flowMapping(outer, depth, omit)
	case '[':
		return r.flowSequence(outer, depth, omit)
	}
	return r.scalar(depth, true)
}

// flowNext goes to the next byte of a flow collection.
func (r *plainReader) flowNext(outer int) bool {
	line := r.line
	return r.next() && r.pos < len(r.in) && (r.line == line || r.column() > outer)
}

func (r *plainReader) flowMapping(outer, depth int, omit *omission) bool {
	if r.w.count(r.line, depth) != nil {
		return false
	}
	r.w.advance(r.line)
	r.w.buf = append(r.w.buf, '{')
	r.pos++
	var seen keysSeen
	some := false
	for first := true; ; first = false {
		if !r.flowNext(outer) {
			return false
		}
		if first && r.at(0) == '}' {
			break
		}
		line := r.line
		key, ok := r.flowKey()
		if !ok || !seen.add(key) {
			return false
		}
		e := r.w.key(key, line, some, omit)
		if !r.flowNext(outer) || !r.flow(outer, depth+1, e.omit) {
			return false
		}
		if depth == 0 {
			r.w.top(key, e)
		}
		some = r.w.done(e) || some
		if !r.flowNext(outer) || r.at(0) != ',' && r.at(0) != '}' {
			return false
		}
		if r.at(0) == '}' {
			break
		}
		r.pos++
	}
	r.pos++
	r.w.buf = append(r.w.buf, '}')
	return true
}

// flowKey reads a key with its colon; after a quoted one nothing needs to follow.
func (r *plainReader) flowKey() ([]byte, bool) {
	var key []byte
	var ok bool
	quoted := r.at(0) == '"' || r.at(0) == '\''
	if quoted {
		key, ok = r.quoted()
	} else {
		key, ok = r.bare(true)
		ok = ok && string(key) != "<<"
	}
	r.blanks()
	if !ok || len(key) > 1000 || r.at(0) != ':' || !quoted && !isBlank(r.at(1)) {
		return nil, false
	}
	r.pos++
	return key, true
}

func (r *plainReader) flowSequence(outer, depth int, omit *omission) bool {
	if r.w.count(r.line, depth) != nil {
		return false
	}
	r.w.advance(r.line)
	r.w.buf = append(r.w.buf, '[')
	r.pos++
	for first := true; ; first = false {
		if !r.flowNext(outer) {
			return false
		}
		if first && r.at(0) == ']' {
			break
		}
		if !first {
			r.w.buf = append(r.w.buf, ',')
		}
		if !r.flow(outer, depth+1, omit) || !r.flowNext(outer) || r.at(0) != ',' && r.at(0) != ']' {
			return false
		}
		if r.at(0) == ']' {
			break
		}
		r.pos++
	}
	r.pos++
	r.w.buf = append(r.w.buf, ']')
	return true
}
