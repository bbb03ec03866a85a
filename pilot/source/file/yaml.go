package file

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

type pair struct{ key, value *yaml.Node }

// mergedPairs gives a mapping's pairs with "<<" merged in; a key of the mapping's own wins.
func mergedPairs(n *yaml.Node, depth int) ([]pair, error) {
	if depth > maxDepth {
		return nil, &lineError{n.Line, fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	seen := make(map[string]bool, len(n.Content)/2)
	var pairs, merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, &lineError{n.Content[i].Line, "has a key that is not a plain value"}
		}
		if key.Tag == "!!merge" {
			more, err := mergeSources(value, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if seen[key.Value] {
			return nil, &lineError{key.Line, fmt.Sprintf("has the key %q twice; remove one", key.Value)}
		}
		seen[key.Value] = true
		pairs = append(pairs, pair{key, value})
	}
	for _, p := range merged {
		if !seen[p.key.Value] {
			seen[p.key.Value] = true
			pairs = append(pairs, p)
		}
	}
	return pairs, nil
}

// mergeSources gives the pairs of the value of a "<<" key: a mapping or a list of them.
func mergeSources(n *yaml.Node, depth int) ([]pair, error) {
	if depth > maxDepth {
		return nil, &lineError{n.Line, fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	switch n.Kind {
	case yaml.AliasNode:
		return mergeSources(n.Alias, depth+1)
	case yaml.MappingNode:
		return mergedPairs(n, depth)
	case yaml.SequenceNode:
		var pairs []pair
		for _, item := range n.Content {
			more, err := mergeSources(item, depth+1)
			if err != nil {
				return nil, err
			}
			if pairs = append(pairs, more...); len(pairs) > maxNodes {
				break
			}
		}
		return pairs, nil
	}
	return nil, &lineError{n.Line, "merges (<<) something that is not a mapping"}
}

// lookup gives the value of a mapping's key, following aliases, or nil.
func lookup(n *yaml.Node, key string) *yaml.Node {
	_, value := lookupPair(n, key)
	return value
}

// lookupPair gives the nodes of a mapping's key and of its value, or nil.
func lookupPair(n *yaml.Node, key string) (at, value *yaml.Node) {
	for depth := 0; n != nil && n.Kind == yaml.AliasNode && depth < maxDepth; depth++ {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}
