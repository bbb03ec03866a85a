package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// checker reads objects as the sources do.
type checker struct {
	mu     sync.Mutex
	reader *file.Reader
}

func newChecker() *checker { return &checker{reader: file.NewReader()} }

func (c *checker) problems(data []byte) []model.Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, problems := c.reader.JSON(data)
	return problems
}

// validate refuses an object with an error, and passes on what has no effect as warnings. What this
// version does not translate may be stored: another one may.
func (s *server) validate(_ *http.Request, asked *request[json.RawMessage], wrong error) *admissionv1.AdmissionResponse {
	response := &admissionv1.AdmissionResponse{Allowed: true}
	switch {
	case wrong != nil:
		return refuse(wrong)
	case asked.Operation == admissionv1.Delete:
		return response
	}
	var faults []string
	for _, p := range s.objects.problems(asked.Object) {
		text := strings.TrimPrefix(p.Field+": "+p.Text(), ": ")
		if p.Severity == model.SeverityError && p.Reason != model.ReasonNotTranslated {
			faults = append(faults, text)
		} else {
			response.Warnings = append(response.Warnings, text)
		}
	}
	if len(faults) > 0 {
		refused := refuse(errors.New("configuration is invalid: " + strings.Join(faults, "; ")))
		refused.Warnings = response.Warnings
		return refused
	}
	return response
}
