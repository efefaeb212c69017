import CSP
