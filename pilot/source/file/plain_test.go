package file

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// samePlain compares what the reader of plain documents writes with what the YAML parser's nodes
// give, byte by byte, and tells whether the document is a plain one.
func samePlain(t *testing.T, text []byte, omit *omission) bool {
	t.Helper()
	quick := jsonWriter{omit: omit}
	if !quick.plain(text) {
		return false
	}
	root, err := document{text: text, base: 1}.parse()
	if err != nil {
		t.Fatalf("%q is read as %s, the parser says %v", text, quick.buf, err)
	}
	slow := jsonWriter{omit: omit}
	slow.reset()
	if err := slow.node(root, 0, omit); err != nil {
		t.Fatalf("%q is read as %s, its nodes: %v", text, quick.buf, err)
	}
	if string(quick.buf) != string(slow.buf) || string(quick.head.kind) != string(slow.head.kind) ||
		string(quick.head.apiVersion) != string(slow.head.apiVersion) {
		t.Fatalf("%q\nis read as     %s\nits nodes give %s", text, quick.buf, slow.buf)
	}
	return true
}

func TestPlainDocumentsAreReadAsTheParserReadsThem(t *testing.T) {
	for _, text := range []string{
		"a: b", "a:\n", "a:\nb: 1\n", "# c\n\na: b # c\n", "a: b#c\n", "a: 'x y'\nb: \"x: y\" # z\n", "{\"a\":1,\"b\":[1, {c: d}, []], e: {}}\n",
		"a:\n- b\n-\n- c: 1\n  d: 2\n- - e\n  - f\n- g:\n  - h\n", "a:\n  b:\n    c\n", "a:\n  - b: {c: d,\n     e: f}\n    g: h\n  -   i: j\n      k: l\n",
		"a: -1\nb: 1.5\nc: 0x10\nd: 010\ne: 1_000\nf: 1e3\ng: 2026-01-02\nh: 2026-01-02T03:04:05Z\ni: 10.0.0.1\nj: 5s\nk: 1.\nl: .5\nm: ~\n",
		"a: yes\nb: No\nc: oN\nd: off\ne: TRUE\nf: False\ng: Null\nh: y\ni: n\nj: nan\nk: 'yes'\nl: null\nm: <b&c>\n",
		"a: 123456789012345678\nb: 1234567890123456789012\nc: 0b11\nd: 0o7\ne: +1\nf: 12e\ng: 1d\nh: 0\ni: 00\n",
		"a: x:y\nb: {c: spiffe://d/e, f: 'g'}\nc: a - b ? c\nd: [a b, c-d]\n- a\n", "a: {b: c}\n  d: e\n", "a: b\n  c\n", "a: b\n c: d\n", "a: [1,\n2]\n",
		"a: &x b\n", "a: !!str b\n", "a: |\n  b\n", "a: \"b\\n\"\n", "a: 'it''s'\n", "<<: a\n", "a: <<\n", "? a\n", "a\n", "- a\n- b\n", "[a]\n", "a: 1\na: 2\n",
		"a: {b: 1, b: 2}\n", "...\n", "%YAML 1.1\n", "a:\tb\n", "a: é\n", "a: b: c\n", "a: - b\n", "a: [b: c]\n", "a: {b}\n", "a: {b: c,}\n", "a: {b: }\n", "a: {'b':c}\n",
		"a: [b,\n# c\nd]\n", "a: b,c\n", "a: {b?: c}\n", "a: b  #c\n", "a : b\n", "\"a\" : b\n", "a: []#b\n", "a:\n#b\n", "{a: b}: c\n", "a: 'b'c\n", "a: \"\"\nb: ''\n", " a: b\n", " a: b\nc: d\n",
	} {
		samePlain(t, []byte(text), nil)
	}
	for _, text := range []string{"a: b\nc:\n- d: {e: [1, x]}\n", vsText, rule, gateway, sidecar, peers} {
		if !samePlain(t, []byte(text), nil) {
			t.Errorf("is not plain: %s", text)
		}
	}
}

func TestSamplesArePlain(t *testing.T) {
	plain, all := 0, 0
	files, err := filepath.Glob("../../../samples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range splitDocuments(nil, text) {
			all++
			if samePlain(t, doc.text, bookkeeping()) {
				plain++
			}
		}
	}
	if plain*10 < all*9 {
		t.Errorf("%d of %d documents are plain", plain, all)
	}
}

// TestRandomDocumentsAreReadAsTheParserReadsThem strings together what YAML is made of.
func TestRandomDocumentsAreReadAsTheParserReadsThem(t *testing.T) {
	pieces := []string{
		"a", "b", "c", "a: ", "b: ", "c:", "'d': ", "\"e\": ", ":", ": ", "\n", "\n", "\n", "\n  ", "\n  ", "\n    ", "\n- ", "\n  - ", "- ", "-", " ", "  ", "{", "}", "[", "]", ", ", ",",
		"'", "\"", "#", " # c", "1", "0x1", "1.5", "10.0.0.1", "5s", "yes", "~", "null", "true", "?", "&x ", "*x", "|", ">", "!t ", "%", "@", "...", "---", "<<: ", "\t", "é", "\\",
	}
	r := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for range 60000 {
		var text []byte
		for range 1 + r.IntN(12) {
			text = append(text, pieces[r.IntN(len(pieces))]...)
		}
		if samePlain(t, text, nil) {
			plain++
		}
	}
	if plain < 1000 {
		t.Errorf("only %d documents are plain", plain)
	}
}

func FuzzPlain(f *testing.F) {
	for _, text := range []string{vsText, routes, rule, gateway, sidecar, peers, "a: [{b: 'c'}, \"d\"]\n", "status: {message: x, podIP: 1.2.3.4}\nmetadata:\n  annotations:\n    a: b\n    istio.io/c: d\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, doc := range splitDocuments(nil, text) {
			samePlain(t, doc.text, nil)
			samePlain(t, doc.text, bookkeeping())
		}
	})
}
