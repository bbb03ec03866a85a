package model

import (
	"regexp"
	"strconv"
	"unicode"
)

// escape finds the next escape of a regular expression: what a class of letters is named, and the number of a letter.
var escape = regexp.MustCompile(`(?s)\\(?:Q.*?(?:\\E|\z)|[pP](?:\{\^?([^}]*)\}|(.))|x\{([^}]*)\}|.)`)

// ForeignEscape gives the first escape of a regular expression that Go takes and RE2 does not, "" for none. Go has more
// names for classes, such as \p{Letter}, and letters up to any number; highest is the last that RE2 has.
func ForeignEscape(pattern string, highest rune) string {
	for _, m := range escape.FindAllStringSubmatch(pattern, -1) {
		class, number := m[1]+m[2], m[3]
		letter, err := strconv.ParseUint(number, 16, 32)
		if class != "" && !knownClass(class) || number != "" && (err != nil || letter > uint64(highest)) {
			return m[0]
		}
	}
	return ""
}

// knownClass tells whether RE2 has a class of letters. It takes the names as Unicode writes them, and knows no Cn and LC.
func knownClass(name string) bool {
	return name == "Any" || name != "Cn" && name != "LC" && unicode.Categories[name] != nil || unicode.Scripts[name] != nil
}
