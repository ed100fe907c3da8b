%  A tour through testing and training, in the order in which a newcomer meets them

setup;

error('Read this file, don''t run it');

% ---------- a network that is there already

which_net= 'vd16_tokyoTM_conv5_3_vlad_preL2_intra_white';
paths= localPaths();
load( sprintf('%s%s.mat', paths.ourCNNs, which_net), 'net' );
net= relja_simplenn_tidy(net);

photo= vl_imreadjpeg({which('football.jpg')}); photo= photo{1}; % a cell array of one
f= computeRepresentation(net, photo, 'useGPU', false); % on the CPU

tokyo= dbTokyo247();
dbFile= sprintf('%s%s_%s_db.bin', paths.outPrefix, which_net, tokyo.name);
qFile = sprintf('%s%s_%s_q.bin', paths.outPrefix, which_net, tokyo.name);
serialAllFeats(net, tokyo.dbPath, tokyo.dbImageFns, dbFile, 'batchSize', 10, 'useGPU', false); % many at once
serialAllFeats(net, tokyo.qPath, tokyo.qImageFns, qFile, 'batchSize', 1, 'useGPU', false); % one at a time

[recall, ~, ~, opts]= testFromFn(tokyo, dbFile, qFile);
plot(opts.recallNs, recall, 'ro-'); grid on; xlabel('N'); ylabel('Recall@N');

% ---------- training, whitening, testing

trainSet= dbTokyoTimeMachine('train');
valSet= dbTokyoTimeMachine('val');
rate= 0.0001;

id= trainWeakly(trainSet, valSet, ...
    'netID', 'vd16', 'layerName', 'conv5_3', 'backPropToLayer', 'conv5_1', ...
    'method', 'vlad_preL2_intra', ...
    'learningRate', rate, 'useGPU', false, ...
    'doDraw', true);

[~, best]= pickBestNet(id);
final= addPCA(best, trainSet, 'doWhite', true, 'pcaDim', 4096, 'useGPU', false);

dbFile= sprintf('%s%s_ep%06d_%s_db.bin', paths.outPrefix, final.meta.sessionID, final.meta.epoch, tokyo.name);
qFile = sprintf('%s%s_ep%06d_%s_q.bin', paths.outPrefix, final.meta.sessionID, final.meta.epoch, tokyo.name);
serialAllFeats(final, tokyo.dbPath, tokyo.dbImageFns, dbFile, 'useGPU', false);
serialAllFeats(final, tokyo.qPath, tokyo.qImageFns, qFile, 'batchSize', 1, 'useGPU', false);

% --- fewer dimensions

dims= [2, 4, 8];
recalls= [];
at= 5;
figure;

for i= 1:length(dims)
    dim= dims(i);
    relja_display('D= %d', dim);
    [recall, ~, ~, opts]= testFromFn(tokyo, dbFile, qFile, [], 'cropToDim', dim);

    here= find(opts.recallNs==at);
    recalls= [recalls, recall(here)];
    hold off;
    semilogx( dims(1:i), recalls, 'bo-');
    set(gca, 'XTick', dims(1:i));
    xlabel('dimensions'); ylabel(sprintf('Recall@%d', at)); grid on;
    drawnow;
end

% ---------- Pittsburgh

big= false;
if big
    rate= 0.0001;
else
    rate= 0.001; % the small one
end
trainSet= dbPitts(big, 'train');

% ---------- a network put together by hand

opts.netID= 'vd16';
opts.layerName= 'conv5_3'; % the last
opts.method= 'vlad_preL2_intra';
net= loadNet(opts.netID, opts.layerName);
net= addLayers(net, opts, trainSet);
net= addPCA(net, trainSet, 'doWhite', true, 'pcaDim', 4096, 'batchSize', 10, 'useGPU', false);

% ---------- tiny

small= dbTiny('train'); smallVal= dbTiny('val');
trainWeakly(small, smallVal, 'netID', 'caffe', 'layerName', 'conv5', 'method', 'max', ...
    'nTestSample', inf, 'test0', true, 'useGPU', false, ...
    'info', 'tiny');
