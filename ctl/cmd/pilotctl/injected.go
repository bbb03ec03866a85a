package main

// injectionHelp says which workloads of files have a proxy, for the help of the commands that read files.
const injectionHelp = `Which pods of files have a sidecar is the injector's own decision: by the labels of their Namespaces
(istio-injection, istio.io/rev), their own (sidecar.istio.io/inject), and the settings in the
ConfigMap istio-sidecar-injector, where the files have it. Where they have no Namespace object for a
pod, its Namespace is taken to ask for sidecars, as "pilotctl up" does it.`
