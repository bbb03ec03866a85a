package main

import (
	"context"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// placesOf tells where in their objects the rules stand that a proxy goes by. They are looked for once somebody asks.
func placesOf(ctx context.Context, t *analyze.Translation, p analyze.Proxy) func(explain.Part) explain.Place {
	places := sync.OnceValue(func() *analyze.Places {
		found, err := t.Places(ctx, p)
		if err != nil {
			return nil // ctx has ended, which whoever asked will learn
		}
		return found
	})
	return func(part explain.Part) explain.Place {
		key, ok := resource.SourceKey(part.Object)
		switch {
		case !ok:
			return explain.Place{}
		case part.Field != "" || policyKind(key.Kind):
			return shown(t.Place(key, part.Field))
		case places() == nil:
			return explain.Place{}
		}
		return placed(places(), key, part)
	}
}

// patchesOf tells which patches of EnvoyFilters what a proxy runs went through.
func patchesOf(t *analyze.Translation, p analyze.Proxy) func(whole, part proto.Message) []explain.Patch {
	return func(whole, part proto.Message) (out []explain.Patch) {
		for _, at := range t.Patches(p, whole, part) {
			out = append(out, explain.Patch{Object: objectPath(at.Object), Place: shown(at)})
		}
		return out
	}
}

// policyKind tells whether objects of a kind are policies, whose rules say themselves where they stand.
func policyKind(kind model.Kind) bool {
	return slices.Contains([]model.Kind{model.KindAuthorizationPolicy, model.KindRequestAuthentication, model.KindPeerAuthentication}, kind)
}

func placed(places *analyze.Places, key model.Key, part explain.Part) explain.Place {
	var at analyze.Place
	switch {
	case part.Route != nil:
		rules := places.Route(part.Routes, part.VirtualHost, part.Index, part.Route.GetMatch())
		i := slices.IndexFunc(rules, func(p analyze.Place) bool { return p.Object == key })
		if i < 0 {
			return shown(places.Object(key))
		}
		out := shown(rules[i])
		if last := rules[len(rules)-1]; last.Object != key {
			text := shown(last).String()
			out.Delegate = strings.TrimSpace("virtual-service " + last.Object.Namespace + "/" + last.Object.Name + " " + text)
		}
		return out
	case part.Chain != nil:
		at = places.Server(key, part.Port, part.Chain.GetFilterChainMatch().GetServerNames())
	default:
		at = places.Subset(key, part.Subset)
	}
	return shown(at)
}

func shown(p analyze.Place) explain.Place {
	out := explain.Place{Field: p.Field, Name: p.Name, File: p.File, Line: p.Line, Read: p.Read()}
	if p.Of.Name != "" {
		out.Of = "ingress " + p.Of.Namespace + "/" + p.Of.Name
	}
	return out
}
