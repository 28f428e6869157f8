ON_SERVER_CORE=()
measure() { :; }
