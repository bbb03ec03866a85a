package model

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Noted is what an API server has of an object beside its content, so that its status can tell what is
// wrong with it.
type Noted struct {
	UID        string
	APIVersion string // group and version in which it was read
	Generation int64  // of its content
	// Condition is the one of this control plane's type in its status, nil for none.
	Condition *metav1.Condition
}
