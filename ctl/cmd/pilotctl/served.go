package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxystatus"
)

// A pod that is ready is in service a moment later: the control plane reads its state, and the
// proxies acknowledge. waitServed waits for that, at most servedWithin.
const (
	servedWithin = 10 * time.Second
	servedEvery  = 50 * time.Millisecond
)

// waitServed returns once every ready pod is a healthy endpoint and every proxy in sync, twice in
// a row. The error says what was missing last.
func waitServed(ctx context.Context, m *localMesh) error {
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	tick := time.NewTicker(servedEvery)
	defer tick.Stop()
	for held := 0; ; {
		err := served(ctx, m)
		if err == nil {
			held++
		} else {
			held = 0
		}
		if held == 2 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the control plane is behind: %w", err)
		case <-tick.C:
		}
	}
}

func served(ctx context.Context, m *localMesh) error {
	pods, err := m.Pods()
	if err != nil {
		return err
	}
	ready, namespaces := map[string]bool{}, map[string]bool{}
	for _, p := range pods {
		ready[p.Name] = isReady(p)
		namespaces[p.Namespace] = true
	}
	for ns := range namespaces {
		data, err := m.control(ctx, "/debug/pilothouse/endpointz?namespace="+ns)
		if err != nil {
			return err
		}
		if err := allHealthy(data, ready); err != nil {
			return err
		}
	}
	data, err := m.control(ctx, "/debug/pilothouse/syncz")
	if err != nil {
		return err
	}
	proxies, err := proxystatus.Parse(data)
	if err != nil {
		return err
	}
	for _, p := range proxies {
		if p.Summary() == "STALE" {
			return fmt.Errorf("proxy %s has not acknowledged all it was sent", p.Name)
		}
	}
	return nil
}

func allHealthy(data []byte, ready map[string]bool) error {
	var services []struct {
		Service   string `json:"svc"`
		Endpoints []struct {
			Pod    string `json:"pod"`
			Health string `json:"health"`
		} `json:"ep"`
	}
	if err := json.Unmarshal(data, &services); err != nil {
		return fmt.Errorf("the control plane's answer is not a list of services: %w", err)
	}
	for _, s := range services {
		for _, e := range s.Endpoints {
			if ready[e.Pod] && e.Health != "healthy" {
				return fmt.Errorf("pod %s is not an endpoint of %s yet", e.Pod, s.Service)
			}
		}
	}
	return nil
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
