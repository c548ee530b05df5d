pipy({
  _repoPrefix: '192.168.64.1', //192.168.64.1:5000 是笔者本地容器运行的一个私有仓库。
  _tagSuffix: ':latest',
})

.listen(6443, {
  tls: {
    cert: os.readFile('/certs/tls.crt').toString(),
    key: os.readFile('/certs/tls.key').toString(),
  },
})
  .decodeHttpRequest()
  .replaceMessage(
    msg => (
        ((req, result, invalids, reason) => (
            req = JSON.decode(msg.body),
            invalids = req.request.object.spec.containers.find(container => (
              (!container.image.startsWith(_repoPrefix) ? (
                reason = `${container.image} repo not start with ${_repoPrefix}`,
                console.log(reason),
                true
              ) : (false))
              ||
              (container.image.endsWith(_tagSuffix) ? (
                reason = `${container.image} tag end with ${_tagSuffix}`,
                console.log(reason),
                true
              ) : (false)
            ))),
            invalids != undefined ? (
              result = {
                "apiVersion": "admission.k8s.io/v1beta1",
                "kind": "AdmissionReview",
                "response": {
                    "allowed": false,
                    "uid": req.request.uid,
                    "status": {
                        "reason": reason,
                    },
                },
              }
            ) : (
              result = {
                "apiVersion": "admission.k8s.io/v1beta1",
                "kind": "AdmissionReview",
                "response": {
                    "allowed": true,
                    "uid": req.request.uid
                },
              }
            ),

            console.log(JSON.encode(result)),
            
            new Message({
              'status' : 200,
              'headers': {
                'Content-Type': 'application/json'
              }
              }, JSON.encode(result))
        ))()
    )
  )
  .encodeHttpResponse()  
